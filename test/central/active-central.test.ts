import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { atCentral, sketchPlan, tilesAndTail } from '../../bench/sim/plans.ts';
import { ActiveCentral } from '../../central/active-central.ts';
import type { Unsubscribe } from '../../shared/ports.ts';
import { planStatus } from '../../shared/protocol/messages/central.ts';
import { CentralWorld } from '../support/central-world.ts';

/** Lost if these fail: accepted frames get no result, or two, or one that is never published. */

const plan = sketchPlan([{ tiles: 1, on: atCentral }]);
let world: CentralWorld;
let central: ActiveCentral;
beforeEach(async () => {
  world = new CentralWorld();
  central = new ActiveCentral(world.options, world.parts());
  await central.start();
});
afterEach(async () => {
  world.executor.letGo();
  await central.stop(0);
  world.end();
});

async function serve(): Promise<void> {
  await central.offerPlans(world.served(plan));
  await world.settle();
}

describe('an active central', () => {
  test('opens its frame connection once a plan is offered, and publishes which models it serves', async () => {
    expect(world.isOpen).toBe(false);
    await serve();
    expect(world.isOpen).toBe(true);
    const plans = world.published(world.topics.plan('m')).map((text) => planStatus.parse(JSON.parse(text)).id);
    expect(plans).toEqual([plan.plan.id]);
    const models = world.published(world.topics.centralModels('central')).map((text) => JSON.parse(text).models);
    expect([models[0], models.at(-1)]).toEqual([{}, { m: { state: 'served' } }]);
  });

  test('answers a frame with a result; between acceptance and result the frame is in its journal', async () => {
    await serve();
    world.executor.hold();
    await world.frame('f1');
    await world.settle();
    expect([world.journal.open, world.results]).toEqual([1, []]);
    world.executor.letGo();
    await world.settle();
    expect(world.results).toMatchObject([{ frame: 'f1', status: 'ok', top: { label: 'cat' }, nodes: ['central'] }]);
    expect(world.journal.open).toBe(0);
    expect([...world.data.frames]).toEqual([]);
  });

  test('holds the rate that was set for a camera which is not listed, also after a restart', async () => {
    await central.stop(0);
    const settings = { kept: { front: { max_fps: '0.1' } }, keep: () => {} };
    central = new ActiveCentral(world.options, { ...world.parts(), settings });
    await central.start();
    await serve();
    for (const id of ['f1', 'f2', 'f3']) await world.frame(id);
    await world.settle();
    expect(world.results).toMatchObject([{ frame: 'f1', status: 'ok' }]);
  });

  test('does not acknowledge frames while its lease is in doubt, and accepts them once the lease is renewed', async () => {
    await serve();
    world.holds = false;
    let isAcknowledged = false;
    const frame = world.frame('f1').then(() => {
      isAcknowledged = true;
    });
    await world.settle();
    expect([isAcknowledged, world.journal.open]).toEqual([false, 0]);
    world.holds = true;
    central.resume();
    await frame;
    await world.settle();
    expect(world.results).toMatchObject([{ frame: 'f1', status: 'ok' }]);
  });

  test('ends open frames with an error when the data plane lost their tensors, and serves the next ones', async () => {
    await serve();
    world.executor.hold();
    await world.frame('f1');
    await world.settle();
    central.onDataPlaneEnd(new Error('the thread ended'));
    world.executor.letGo();
    await world.frame('f2');
    await world.settle();
    const ended = world.results.map(({ frame, status, error }) => [frame, status, error?.code]);
    expect(ended).toEqual([
      ['f1', 'error', 'TESSERA_INTERNAL'],
      ['f2', 'ok', undefined],
    ]);
    expect(world.journal.open).toBe(0);
  });

  test('that stops finishes frames in progress, ends queued ones with an error, and then publishes that it is offline', async () => {
    await serve();
    world.executor.hold();
    for (const id of ['f1', 'f2', 'f3', 'f4', 'f5', 'f6']) await world.frame(id);
    await world.settle();
    const stopped = central.stop(5000);
    await world.settle();
    expect(world.published(world.topics.status)).toEqual(['online']);
    world.executor.letGo();
    await stopped;
    await world.settle();
    const ends = new Map(world.results.map(({ frame, status, error }) => [frame, error?.code ?? status]));
    expect(ends.size).toBe(world.results.length);
    expect(ends.get('f1')).toBe('ok');
    expect(ends.get('f6')).toBe('TESSERA_CENTRAL_RESTARTED');
    expect(world.journal.open).toBe(0);
    expect(world.published(world.topics.status)).toEqual(['online', 'offline']);
  });

  test('that has stopped acknowledges no frame: the broker keeps it for the next central', async () => {
    await serve();
    await central.stop(0);
    let isAcknowledged = false;
    void world.frame('late').then(() => {
      isAcknowledged = true;
    });
    await world.settle();
    expect([isAcknowledged, world.results]).toEqual([false, []]);
  });

  test('that loses the election while it still subscribes publishes nothing and asks no node to prepare', async () => {
    const parts = world.parts();
    let subscribed = (): void => {};
    const hanging = new Promise<Unsubscribe>((resolve) => {
      subscribed = () => resolve(async () => {});
    });
    const starting = new ActiveCentral(world.options, {
      ...parts,
      bus: { ...parts.bus, subscribe: () => hanging },
    });
    const keys = () => world.published(world.topics.centralKey('central')).length;
    await world.settle();
    const before = keys();
    const started = starting.start();
    await starting.stop(0, true);
    subscribed();
    await started;
    await world.node('pi-1');
    await starting.offerPlans(world.served(tilesAndTail(2, {}, 1)));
    await world.settle();
    expect(world.controls('pi-1')).toEqual([]);
    expect(keys()).toBe(before);
    expect(world.isOpen).toBe(false);
  });

  test("that lost the election ends its frames at once, and does not touch its status or the nodes' plans: they are the new leader's", async () => {
    await world.node('pi-1');
    await central.offerPlans(world.served(tilesAndTail(2, {}, 1)));
    await world.settle();
    expect(world.controls('pi-1')).toEqual(['prepare']);
    world.executor.hold();
    await world.frame('f1');
    await world.settle();
    await central.stop(5000, true);
    await world.settle();
    expect(world.results).toMatchObject([{ frame: 'f1', status: 'error' }]);
    expect(world.published(world.topics.status)).toEqual(['online']);
    expect(world.controls('pi-1')).toEqual(['prepare']);
  });
});
