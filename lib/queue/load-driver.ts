import { InvalidOptionsError } from '../errors.js';

/** Loads what needs an optional driver. @throws InvalidOptionsError where that is not installed */
export async function loadDriver<T>(driver: string, module: () => Promise<T>): Promise<T> {
  try {
    return await module();
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new InvalidOptionsError('queue', `needs the package "${driver}": npm install ${driver}.`);
  }
}
