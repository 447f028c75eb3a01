import { Global, Injectable, Module, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import {
  defineEvent,
  EventBus,
  EventsModule,
  InvalidOptionsError,
  type EventsModuleOptions,
  type EventsOptionsFactory,
} from 'nestjs-durable-events';
import { DataSource } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { dataSourceOptions, openDataSource } from '../support/data-source.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { emitOnly } from '../support/emit-app.js';

const OrderPlaced = defineEvent<string>('order.placed');

let database: TestDatabase;
let second: TestDatabase;
const opened: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  second = await createTestDatabase();
});
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
});
afterAll(async () => {
  await database.drop();
  await second.drop();
});

/** A token of the application's own for its second DataSource. */
const SECOND = Symbol('second');

@Global()
@Module({
  providers: [{ provide: SECOND, useExisting: getDataSourceToken('second') }],
  exports: [SECOND],
})
class TokensModule {}

/** Boots with one DataSource per name, and this EventsModule. */
async function boot(events: DynamicModule, names = ['default']) {
  @Module({
    imports: [
      ...names.map((name, index) =>
        TypeOrmModule.forRootAsync({
          name,
          useFactory: () => dataSourceOptions(index === 0 ? database.url : second.url),
          dataSourceFactory: async (options) => {
            const dataSource = await new DataSource(options!).initialize();
            // Nest closes nothing of an application that does not boot.
            opened.push({
              close: async () => {
                if (dataSource.isInitialized) await dataSource.destroy();
              },
            });
            return dataSource;
          },
        }),
      ),
      ...(names.includes('second') ? [TokensModule] : []),
      events,
    ],
  })
  class TestModule {}
  const context = await NestFactory.createApplicationContext(TestModule, {
    logger: false,
    abortOnError: false,
  });
  opened.unshift(context);
  return context;
}

/** Namespaces of the events in a database. */
async function namespaces(url: string): Promise<string[]> {
  const dataSource = await openDataSource(url);
  try {
    const rows = await dataSource.query<{ namespace: string }[]>(
      'SELECT namespace FROM events_outbox ORDER BY seq',
    );
    await dataSource.query('DELETE FROM events_outbox');
    return rows.map(({ namespace }) => namespace);
  } finally {
    await dataSource.destroy();
  }
}

@Injectable()
class Settings {
  readonly namespace = 'from-settings';
}

@Module({ providers: [Settings], exports: [Settings] })
class SettingsModule {}

@Injectable()
class OptionsFactory implements EventsOptionsFactory {
  constructor(private readonly settings: Settings) {}

  async createEventsOptions(): Promise<EventsModuleOptions> {
    return emitOnly({ namespace: this.settings.namespace, standalone: 'allow' });
  }
}

@Module({
  imports: [SettingsModule],
  providers: [OptionsFactory],
  exports: [OptionsFactory],
})
class FactoryModule {}

describe('forRootAsync', () => {
  it.each([
    [
      'useFactory',
      EventsModule.forRootAsync({
        imports: [SettingsModule],
        inject: [Settings],
        useFactory: async ({ namespace }: Settings) => emitOnly({ namespace, standalone: 'allow' }),
      }),
    ],
    [
      'useClass',
      EventsModule.forRootAsync({ imports: [SettingsModule], useClass: OptionsFactory }),
    ],
    [
      'useExisting',
      EventsModule.forRootAsync({ imports: [FactoryModule], useExisting: OptionsFactory }),
    ],
  ])('takes options from %s', async (_form, events) => {
    const context = await boot(events);
    await context.get(EventBus).emit(OrderPlaced, 'o1');
    expect(await namespaces(database.url)).toEqual(['from-settings']);
  });

  it.each([
    [{}],
    [{ useFactory: () => ({}), useClass: OptionsFactory }],
    [{ useClass: OptionsFactory, useExisting: OptionsFactory }],
  ])('needs exactly one form (%o)', (options) => {
    expect(() => EventsModule.forRootAsync(options)).toThrow(InvalidOptionsError);
    expect(() => EventsModule.forRootAsync(options)).toThrow('exactly one of "useFactory"');
  });

  it('refuses a "dataSource" that comes out of the factory, too late', async () => {
    const useFactory = (): object => ({ dataSource: 'second' });
    await expect(boot(EventsModule.forRootAsync({ useFactory }))).rejects.toThrow(
      'forRootAsync({ dataSource, useFactory })',
    );
  });

  it('stops the boot with the error of the factory', async () => {
    const useFactory = async (): Promise<never> => {
      throw new Error('no settings today');
    };
    await expect(boot(EventsModule.forRootAsync({ useFactory }))).rejects.toThrow(
      'no settings today',
    );
  });
});

describe('wrong options stop the boot, naming option, value and nearest name', () => {
  const wrong = { relais: { batchSize: 1 } } as EventsModuleOptions;

  it.each([
    ['forRoot', () => EventsModule.forRoot(wrong)],
    ['forRootAsync', () => EventsModule.forRootAsync({ useFactory: () => wrong })],
  ])('given to %s', async (_form, module) => {
    const error: unknown = await boot(module()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect((error as Error).message).toBe(
      'EventsModule: option "relais" is unknown (its value is {"batchSize":1}); did you mean "relay"?',
    );
  });

  it.each([
    ['tables.prefix', { tables: { prefix: 'a b' } }],
    ['tables.schema', { tables: { schema: 'a.b' } }],
  ])('%s outside the allow-list', async (option, tables) => {
    const error: unknown = await boot(EventsModule.forRoot(emitOnly(tables))).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect((error as InvalidOptionsError).option).toBe(option);
  });
});

describe('a named DataSource', () => {
  const events = emitOnly({ standalone: 'allow' });

  it.each([
    ['its name, forRoot', () => EventsModule.forRoot({ ...events, dataSource: 'second' })],
    [
      'its name, forRootAsync',
      () => EventsModule.forRootAsync({ dataSource: 'second', useFactory: () => events }),
    ],
    ['any token', () => EventsModule.forRoot({ ...events, dataSource: SECOND })],
  ])('is chosen by %s', async (_how, module) => {
    const context = await boot(module(), ['default', 'second']);
    const bus = context.get(EventBus);
    await bus.emit(OrderPlaced, 'alone');
    const dataSource = context.get<DataSource>(getDataSourceToken('second'));
    await dataSource.transaction(() => bus.emit(OrderPlaced, 'with it', { standalone: 'reject' }));
    expect(await namespaces(second.url)).toEqual(['default', 'default']);
  });

  it('that does not exist stops the boot and is named', async () => {
    await expect(boot(EventsModule.forRoot({ ...events, dataSource: 'third' }))).rejects.toThrow(
      'thirdDataSource',
    );
  });

  it('that can not be connected stops the boot with its own error', async () => {
    const nowhere = TypeOrmModule.forRoot({
      type: 'postgres',
      url: 'postgres://127.0.0.1:1/nowhere',
      retryAttempts: 0,
    });
    for (const imports of [
      [nowhere, EventsModule.forRoot(events)],
      [EventsModule.forRoot(events), nowhere],
    ]) {
      @Module({ imports })
      class TestModule {}
      const booting = NestFactory.createApplicationContext(TestModule, {
        logger: false,
        abortOnError: false,
      });
      await expect(booting).rejects.toThrow('ECONNREFUSED');
    }
  });
});

it('forRoot imported twice stops the boot: one of them would count for nothing', async () => {
  @Module({ imports: [EventsModule.forRoot(emitOnly({ namespace: 'other' }))] })
  class OtherModule {}
  const events = { ...EventsModule.forRoot(emitOnly()) };
  events.imports = [...(events.imports ?? []), OtherModule];
  await expect(boot(events)).rejects.toThrow('option "forRoot" was imported twice');
});
