import {
  Controller,
  Inject,
  Injectable,
  Module,
  Scope,
  type DynamicModule,
  type Provider,
  type Type,
} from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  defineEvent,
  DuplicateHandlerError,
  EventBus,
  EventHandler,
  EventsModule,
  InvalidHandlerError,
  Signals,
  UnknownQueueError,
  type DomainEvent,
  type HandlerContext,
} from 'nestjs-durable-events';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { dataSourceOptions } from '../support/data-source.js';
import { onEvent } from '../support/inline-handler.js';
import { countSignals, nextSignal } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';

const Happened = defineEvent<{ n: number }>('happened');
const Other = defineEvent<{ n: number }>('other');

/** What ran: `<who> <event's name>`. */
let ran: string[] = [];
beforeEach(() => {
  ran = [];
});

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

interface Parts {
  providers?: Provider[];
  controllers?: Type[];
  imports?: (DynamicModule | Type)[];
}

function start(parts: Parts): Promise<TestApp> {
  const namespace = newNamespace();
  return startApp({
    url: backends.database.url,
    events: { namespace, queue: backends.redis, queues: { mail: {} } },
    ...parts,
  });
}

/** Emits, and waits until `count` handlers have run. */
async function emitAndWait(app: TestApp, event: typeof Happened, count: number): Promise<void> {
  const completed = countSignals(app.signals, 'delivery.completed', count);
  await emitIn(app, event, { n: 1 });
  await completed;
}

const idsOf = (app: TestApp, event: typeof Happened) =>
  app.bus
    .handlersOf(event)
    .map(({ id }) => id)
    .toSorted();

abstract class Base {
  constructor(protected readonly who: string) {}

  @EventHandler(Happened)
  handle({ name }: DomainEvent): void {
    ran.push(`${this.who} ${name}`);
  }
}

@Injectable()
class First extends Base {
  constructor() {
    super('first');
  }
}

@Injectable()
class Second extends Base {
  constructor() {
    super('second');
  }
}

describe('handlers are found', () => {
  it('E4: in providers and controllers, on methods of their own and inherited ones', async () => {
    @Controller()
    class Api extends Base {
      constructor() {
        super('api');
      }
    }
    const app = await start({ providers: [First, Second], controllers: [Api] });
    expect(idsOf(app, Happened)).toEqual(['Api.handle', 'First.handle', 'Second.handle']);
    await emitAndWait(app, Happened, 3);
    expect(ran.toSorted()).toEqual(['api happened', 'first happened', 'second happened']);
  });

  it('E4: but not where a subclass has overridden the method without the decorator', async () => {
    @Injectable()
    class Silent extends First {
      override handle(): void {
        ran.push('silent');
      }
    }
    const app = await start({ providers: [First, Silent] });
    expect(idsOf(app, Happened)).toEqual(['First.handle']);
  });

  it('E3: once, where a provider has aliases', async () => {
    const app = await start({
      providers: [
        First,
        { provide: 'alias', useExisting: First },
        { provide: Base, useExisting: 'alias' },
      ],
    });
    expect(idsOf(app, Happened)).toEqual(['First.handle']);
    await emitAndWait(app, Happened, 1);
    expect(ran).toEqual(['first happened']);
  });

  it('E3: once, where a module is imported several times', async () => {
    @Module({ providers: [First], exports: [First] })
    class Shared {}
    @Module({ imports: [Shared] })
    class User {}
    const app = await start({ imports: [Shared, User] });
    expect(idsOf(app, Happened)).toEqual(['First.handle']);
  });

  it('in what factories and values provide', async () => {
    const app = await start({
      providers: [
        { provide: 'made', useFactory: () => new First() },
        { provide: 'awaited', useFactory: async () => Promise.resolve(new Second()) },
        onEvent(Happened, { id: 'value' }, () => ran.push('value happened')),
        { provide: 'nothing', useValue: undefined },
        { provide: 'null', useFactory: () => null },
        { provide: 'text', useValue: 'text' },
        { provide: 'bare', useValue: Object.create(null) as object },
      ],
    });
    expect(idsOf(app, Happened)).toEqual(['First.handle', 'Second.handle', 'value']);
    await emitAndWait(app, Happened, 3);
    expect(ran).toHaveLength(3);
  });

  it('E4: in transient providers, made anew for every delivery', async () => {
    @Injectable({ scope: Scope.TRANSIENT })
    class Counter {
      count = 0;
    }
    @Injectable({ scope: Scope.TRANSIENT })
    class Transient {
      constructor(private readonly counter: Counter) {}
      @EventHandler(Happened)
      handle(): void {
        ran.push(`transient ${++this.counter.count}`);
      }
    }
    const app = await start({ providers: [Counter, Transient] });
    await emitAndWait(app, Happened, 1);
    await emitAndWait(app, Happened, 1);
    expect(ran).toEqual(['transient 1', 'transient 1']);
  });

  it('by definition, by name, in lists, and by several decorators on one method', async () => {
    @Injectable()
    class Many {
      @EventHandler(Happened)
      @EventHandler(Other)
      both({ name }: DomainEvent): void {
        ran.push(`both ${name}`);
      }

      @EventHandler([Happened, 'other'])
      list({ name }: DomainEvent): void {
        ran.push(`list ${name}`);
      }

      @EventHandler('happened', { id: 'named.one' })
      @EventHandler('other', { id: 'named.other', attempts: 2 })
      named({ name }: DomainEvent, { handlerId }: HandlerContext): void {
        ran.push(`${handlerId} ${name}`);
      }
    }
    const app = await start({ providers: [Many] });
    expect(idsOf(app, Happened)).toEqual(['Many.both', 'Many.list', 'named.one']);
    expect(idsOf(app, Other)).toEqual(['Many.both', 'Many.list', 'named.other']);
    await emitAndWait(app, Happened, 3);
    await emitAndWait(app, Other, 3);
    expect(ran.toSorted()).toEqual([
      'both happened',
      'both other',
      'list happened',
      'list other',
      'named.one happened',
      'named.other other',
    ]);
  });

  it('E4: in the provider that overrides another one in a test', async () => {
    @Injectable()
    class Mails {
      @EventHandler(Happened)
      send(): void {
        ran.push('a real mail');
      }
    }
    @Injectable()
    class FakeMails extends Mails {
      @EventHandler(Happened, { id: 'Mails.send' })
      override send(): void {
        ran.push('a fake mail');
      }
    }
    const module = await Test.createTestingModule({
      imports: [
        TypeOrmModule.forRoot(dataSourceOptions(backends.database.url)),
        EventsModule.forRoot({ namespace: newNamespace(), queue: backends.redis }),
      ],
      providers: [Mails],
    })
      .overrideProvider(Mails)
      .useClass(FakeMails)
      .compile();
    await module.init();
    onTestFinished(() => module.close());
    const completed = nextSignal(module.get(Signals), 'delivery.completed');
    const bus = module.get(EventBus);
    await module.get(DataSource).transaction(() => bus.emit(Happened, { n: 1 }));
    expect(await completed).toMatchObject({ handler: 'Mails.send' });
    expect(ran).toEqual(['a fake mail']);
  });

  it('E4: and not in a value that overrides a provider without being one', async () => {
    const module = await Test.createTestingModule({
      imports: [
        TypeOrmModule.forRoot(dataSourceOptions(backends.database.url)),
        EventsModule.forRoot({ namespace: newNamespace(), queue: backends.redis }),
      ],
      providers: [First],
    })
      .overrideProvider(First)
      .useValue({ handle: () => undefined })
      .compile();
    await module.init();
    onTestFinished(() => module.close());
    expect(module.get(EventBus).handlersOf(Happened)).toEqual([]);
  });
});

describe('E5: a request-scoped handler', () => {
  it('is made anew for every delivery, with what it is about as its request', async () => {
    const requests: unknown[] = [];
    let made = 0;
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest {
      readonly number = ++made;
    }
    @Injectable({ scope: Scope.REQUEST })
    class Scoped {
      constructor(
        @Inject(REQUEST) private readonly request: { event: DomainEvent; context: HandlerContext },
        private readonly shared: PerRequest,
        private readonly sharedToo: PerRequest,
      ) {}

      @EventHandler(Happened)
      handle(event: DomainEvent, context: HandlerContext): void {
        requests.push(this.request);
        expect(this.request).toEqual({ event, context });
        expect(this.shared).toBe(this.sharedToo);
        ran.push(`${this.shared.number}`);
        if (context.attempt === 1) throw new Error('again');
      }
    }
    const app = await start({ providers: [PerRequest, Scoped] });
    expect(idsOf(app, Happened)).toEqual(['Scoped.handle']);
    expect(made).toBe(0);
    await emitAndWait(app, Happened, 1);
    expect(ran).toEqual(['1', '2']);
    expect(new Set(requests).size).toBe(2);
  });

  it('may be a controller, or only depend on something request-scoped', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Tenant {
      constructor(@Inject(REQUEST) readonly request: { event: DomainEvent<typeof Happened> }) {}
    }
    @Controller({ path: 'scoped', scope: Scope.REQUEST })
    class Api {
      constructor(private readonly tenant: Tenant) {}
      @EventHandler(Happened)
      handle(): void {
        ran.push(`api ${this.tenant.request.event.data.n}`);
      }
    }
    @Injectable()
    class Depends {
      constructor(private readonly tenant: Tenant) {}
      @EventHandler(Happened, { transactional: true })
      handle(): void {
        ran.push(`depends ${this.tenant.request.event.data.n}`);
      }
    }
    const app = await start({ providers: [Tenant, Depends], controllers: [Api] });
    await emitAndWait(app, Happened, 2);
    expect(ran.toSorted()).toEqual(['api 1', 'depends 1']);
  });

  it('whose dependencies fail has failed an attempt', async () => {
    let made = 0;
    @Injectable({ scope: Scope.REQUEST })
    class Scoped {
      constructor() {
        if (++made === 1) throw new Error('no tenant');
      }
      @EventHandler(Happened)
      handle(): void {
        ran.push('handled');
      }
    }
    const app = await start({ providers: [Scoped] });
    const failed = nextSignal(app.signals, 'delivery.failed');
    await emitAndWait(app, Happened, 1);
    expect((await failed).error).toEqual(new Error('no tenant'));
    expect(ran).toEqual(['handled']);
  });
});

describe('the boot stops', () => {
  const boot = (parts: Parts) => start(parts).then(() => 'it started');

  it('E3: where two handlers have one id, naming both places', async () => {
    @Module({ providers: [First] })
    class Orders {}
    @Module({ providers: [First] })
    class Mails {}
    const error: unknown = await boot({ imports: [Orders, Mails] }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(DuplicateHandlerError);
    expect(error).toMatchObject({
      handlerId: 'First.handle',
      places: ['First.handle (in Orders)', 'First.handle (in Mails)'],
    });
  });

  it('E3: where an alias is the id of another handler', async () => {
    const providers = [
      onEvent(Happened, { id: 'one' }, () => undefined),
      onEvent(Happened, { id: 'two', aliases: ['one'] }, () => undefined),
    ];
    await expect(boot({ providers })).rejects.toBeInstanceOf(DuplicateHandlerError);
  });

  it('where a handler names an unknown queue, with the nearest name', async () => {
    const providers = [onEvent(Happened, { id: 'one', queue: 'mial' }, () => undefined)];
    const booted = boot({ providers });
    await expect(booted).rejects.toBeInstanceOf(UnknownQueueError);
    await expect(booted).rejects.toThrow(/"mial".*did you mean "mail"\?/);
  });

  it('where decorators of one method have one id and different options', async () => {
    @Injectable()
    class Mixed {
      @EventHandler(Happened, { attempts: 2 })
      @EventHandler(Other, { attempts: 3 })
      handle(): void {}
    }
    const booted = boot({ providers: [Mixed] });
    await expect(booted).rejects.toBeInstanceOf(InvalidHandlerError);
    await expect(booted).rejects.toThrow(/Mixed\.handle.*one id, "Mixed\.handle"/);
  });
});
