// What smoke-package.mjs runs with node:test against the packed library: a test of an application, with
// no test runner's globals and no package for tests installed.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { defineEvent, type DomainEvent, EventBus, EventHandler } from 'nestjs-durable-events';
import { EventsTesting, EventsTestingModule } from 'nestjs-durable-events/testing';
import { DataSource } from 'typeorm';

const OrderPlaced = defineEvent<{ orderId: string; total: number }>('order.placed');

@Injectable()
class Mails {
  readonly sent: string[] = [];

  @EventHandler(OrderPlaced, { id: 'mails' })
  confirm(event: DomainEvent<typeof OrderPlaced>): void {
    this.sent.push(event.data.orderId);
  }
}

@Module({ imports: [EventsTestingModule.forRoot({ storage: 'memory' })], providers: [Mails] })
class AppModule {}

void test('a handler gets what was emitted', async () => {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
  const events = app.get(EventsTesting);
  await app
    .get(DataSource)
    .transaction(() => app.get(EventBus).emit(OrderPlaced, { orderId: '42', total: 1 }));
  await events.drain();
  events.expectDelivered('mails', { orderId: '42' });
  assert.deepEqual(app.get(Mails).sent, ['42']);
  assert.throws(() => events.expectEmitted(OrderPlaced, { total: 2 }), {
    name: 'AssertionError',
    message: /total: expected 2, was 1/,
  });
  // Without --test-force-exit: the process ends by itself, or the library left something open.
  await app.close();
});
