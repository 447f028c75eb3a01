import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module.js';
import { FirstOrder } from './demo/first-order.js';
import { SampleLogger } from './demo/sample.logger.js';
import { openStorage } from './storage/storage.js';

async function main(): Promise<void> {
  const port = Number(process.env['PORT'] || 3000);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new Error(`PORT is "${process.env['PORT']}": use a number from 1 to 65535`);
  }
  const url = `http://localhost:${port}`;
  const storage = await openStorage(process.env);
  console.log(`Orders sample on ${storage.description}`);
  console.log(`Open ${url} and ${url}/orders\n`);

  const app = await NestFactory.create(AppModule.forRoot(storage), {
    logger: new SampleLogger(),
    abortOnError: false,
  });
  // Lets handlers that run end, before the database is disconnected. What is embedded is in memory
  // and ends with the process, after everything that needs it.
  app.enableShutdownHooks(undefined, { useProcessExit: true });
  await app.listen(port).catch(async (error: NodeJS.ErrnoException) => {
    await app.close();
    const taken = error.code === 'EADDRINUSE';
    throw taken ? new Error(`Port ${port} is taken: set PORT to a free one`) : error;
  });
  await app.get(FirstOrder).place(url);
}

main().catch((error: unknown) => {
  console.error(
    `The orders sample can't run. ${error instanceof Error ? error.message : String(error)}`,
  );
  process.exit(1);
});
