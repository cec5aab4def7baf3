import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AcknowledgementOrder } from '../../broker/acknowledgement-order.ts';

// Lost if these fail: a client gets acknowledgements in another order than it sent, and takes one for another's.

test('each client is answered in the order in which it sent, in whatever order the answers are ready', () => {
  const steps = fc.array(fc.record({ client: fc.nat({ max: 2 }), ready: fc.nat({ max: 1000 }) }), { maxLength: 30 });
  fc.assert(
    fc.property(steps, (messages) => {
      const order = new AcknowledgementOrder();
      const clients = [{}, {}, {}];
      const answered: number[][] = [[], [], []];
      const results = messages.map(({ client }, i) => order.take(clients[client]!, () => answered[client]!.push(i)));
      const sequence = messages.map(({ ready }, i) => ({ ready, i })).sort((a, b) => a.ready - b.ready);
      for (const { i } of sequence) results[i]!();
      for (const [client, had] of answered.entries())
        expect(had).toEqual(messages.flatMap((message, i) => (message.client === client ? [i] : [])));
    }),
  );
});

test('an error goes to its own message, once', () => {
  const order = new AcknowledgementOrder();
  const client = {};
  const answers: [string, unknown][] = [];
  const first = order.take(client, (fault) => answers.push(['first', fault?.message]));
  const second = order.take(client, (fault) => answers.push(['second', fault?.message]));
  second(new Error('refused'));
  second();
  expect(answers).toEqual([]);
  first();
  expect(answers).toEqual([
    ['first', undefined],
    ['second', 'refused'],
  ]);
});
