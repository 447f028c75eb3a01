import { ConsoleLogger } from '@nestjs/common';

const NEST_WIRING = new Set(['NestFactory', 'InstanceLoader', 'RoutesResolver', 'RouterExplorer']);

/** Leaves out what Nest tells of its own wiring, so that the way of the events is seen. */
export class SampleLogger extends ConsoleLogger {
  constructor() {
    super({ logLevels: ['log', 'warn', 'error', 'fatal'] });
  }

  override log(message: unknown, ...rest: unknown[]): void {
    if (!NEST_WIRING.has(String(rest.at(-1)))) super.log(message, ...rest);
  }
}
