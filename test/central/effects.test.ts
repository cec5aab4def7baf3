import { describe, expect, it } from 'vitest';
import { atCentral, everyNode, sketchPlan, tilesAndTail } from '../../bench/sim/plans.ts';
import { EffectWorld, servedPlan, someRegion } from '../support/effect-world.ts';

/** If these fail, correct decisions are carried out wrongly: frames fail, hang or are forgotten. */

const a = servedPlan(sketchPlan([{ tiles: 1, on: atCentral }], 1));
const b = servedPlan(sketchPlan([{ tiles: 1, on: atCentral }], 2));
const [planA, planB] = [a.compiled.plan.id, b.compiled.plan.id];

describe('plans', () => {
  it('A, B and A again, whenever the last frame of A ends in between: every frame gets its prediction', async () => {
    for (let ticks = 0; ticks < 24; ticks++)
      for (const gap of [0, 1, 2, 5]) {
        const world = new EffectWorld();
        world.offerPlan(a);
        await world.settle();
        world.offerFrame();
        const tick = async (count: number): Promise<void> => {
          for (let k = 0; k < count; k++) await Promise.resolve();
        };
        await tick(ticks);
        world.offerPlan(b);
        await tick(gap);
        world.offerPlan(a);
        await world.settle();
        expect(world.active.at(-1)).toBe(planA);
        world.offerFrame();
        await world.settle();
        expect(world.ended.map(({ end }) => [end.outcome, end.failure])).toEqual([
          ['ok', undefined],
          ['ok', undefined],
        ]);
        expect([...world.data.plans]).toEqual([planA]);
      }
  });

  it('reach the data plane once, in the order in which the coordinator adds and retires them', async () => {
    const world = new EffectWorld();
    for (const plan of [a, a, b]) {
      world.offerPlan(plan);
      await world.settle();
    }
    expect(world.data.calls).toEqual([`plan ${planA}`, `plan ${planB}`, `forgetPlan ${planA}`]);
    expect(world.executed).toEqual([`prepare ${planA}`, `prepare ${planB}`, `release ${planA}`]);
    expect(world.runner.plans()).toEqual([b.compiled]);
  });

  it('of one network under two names: each frame is opened for the model that it was offered to', async () => {
    const world = new EffectWorld();
    world.offerPlan(a);
    world.offerPlan(servedPlan(a.compiled, 'other'));
    await world.settle();
    world.offerFrame(['m', 'other']);
    await world.settle();
    expect(world.ended.map(({ model }) => model.name).sort()).toEqual(['m', 'other']);
    expect(world.data.calls.filter((call) => call.startsWith('plan'))).toHaveLength(1);
  });

  it('are announced to a node with the manifest of their model, and not to one without their codecs', () => {
    const plan = sketchPlan([{ tiles: 2, on: everyNode }], 3);
    const stages = plan.plan.stages.map((stage) => ({
      ...stage,
      codec: { t1: { name: 'q8', per: 'tensor' } as const },
    }));
    const served = servedPlan({ ...plan, plan: { ...plan.plan, stages } });
    const world = new EffectWorld();
    world.offerPlan(served);
    world.startNode('able', ['raw', 'q8']);
    world.startNode('old', ['raw']);
    expect(world.sentTo('able', 'control')).toMatchObject([
      {
        type: 'prepare',
        plan: { id: plan.plan.id },
        stages: [0],
        manifest: { skeleton: { sha: plan.plan.model } },
        epoch: 1,
      },
    ]);
    expect(world.sentTo('old', 'control')).toEqual([]);
  });

  it('that a node or central cannot run are refused with the reason', async () => {
    const world = new EffectWorld();
    world.executorFails = true;
    world.offerPlan(a);
    await world.settle();
    expect(world.events.at(-1)).toMatchObject({ type: 'node-refused', node: 'central', text: 'no memory' });
    const plan = tilesAndTail(2).plan;
    const codec = { t1: { name: 'q8', per: 'tensor' } as const };
    world.runner.keepPlan(servedPlan({ ...tilesAndTail(2), plan }));
    world.carryOut({
      type: 'prepare',
      node: 'n1',
      plan: { ...plan, stages: [{ ...plan.stages[0]!, codec }] },
      stages: [0],
      request: 4,
    });
    await world.settle();
    expect(world.events.at(-1)).toMatchObject({ type: 'node-refused', node: 'n1', code: 'TESSERA_CODEC', request: 4 });
  });
});

describe('frames', () => {
  it('that central computes alone are opened, computed, finished, published and released', async () => {
    const world = new EffectWorld();
    world.offerPlan(a);
    await world.settle();
    world.offerFrame();
    await world.settle();
    expect(world.data.calls.slice(1)).toEqual([
      `open 1-0 ${planA}`,
      `pack 1-0 ${planA} 0 0`,
      `paste 1-0 ${planA} 0 0`,
      'finish 1-0 outputs',
      'release 1-0',
    ]);
    expect(world.ended[0]).toMatchObject({
      end: { outcome: 'ok', nodes: ['central'], bytes_up: 0, bytes_down: 0 },
      arrival: { frame: 'f0' },
      size: { width: 640, height: 480 },
      answer: { top: { label: 'cat' } },
    });
    expect(world.runner.openFrames()).toEqual([]);
    // Nothing went to central over the wire.
    expect(world.events.filter(({ type }) => type === 'work-sent')).toEqual([]);
  });

  it.each([
    ['open', 'TESSERA_INPUT_INVALID'],
    ['finish', 'TESSERA_INTERNAL'],
  ])('whose %s fails end with that failure', async (method, code) => {
    const world = new EffectWorld();
    world.offerPlan(a);
    await world.settle();
    world.data.failing.set(method, new Error('no picture'));
    world.offerFrame();
    await world.settle();
    expect(world.ended[0]!.end.failure).toMatchObject({ code, message: 'no picture' });
    expect(world.runner.openFrames()).toEqual([]);
  });

  it("whose tensors are lost with the data plane's thread are known", async () => {
    const world = new EffectWorld();
    world.offerPlan(servedPlan(tilesAndTail(2)));
    world.startNode('n1');
    world.tell({ type: 'node-ready', node: 'n1', plan: tilesAndTail(2).plan.id });
    await world.settle();
    world.offerFrame();
    await world.settle();
    expect(world.runner.openFrames()).toEqual(['1-0']);
  });
});

describe('a frame that was born at a node', () => {
  it('is taken by central where its node cannot open it, and does not end', async () => {
    const world = new EffectWorld();
    const there = servedPlan(sketchPlan([{ tiles: 1, on: { mode: 'share', nodes: ['pi-1'] } }], 1));
    world.startNode('pi-1');
    world.offerPlan(there);
    world.tell({ type: 'node-ready', node: 'pi-1', plan: there.compiled.plan.id });
    await world.settle();
    world.born.open = async (i_id) => {
      world.orders.push(`open ${i_id}`);
      throw new Error('no room');
    };
    world.offerFrame(['m'], { node: 'pi-1', width: 8, height: 4 });
    await world.settle();
    expect(world.orders).toEqual(['open 1-0', 'take 1-0', 'done f0']);
    expect(world.ended).toEqual([]);
    expect(world.log.lines.join()).toContain('no room');
    expect(world.sentTo('pi-1', 'work')).toHaveLength(1);
  });
});

describe('a frame with sections', () => {
  it('is accepted and published once, with what its sections have, and its picture is taken once', async () => {
    const world = new EffectWorld();
    world.offerPlan(a);
    world.startNode('pi-1');
    await world.settle();
    world.data.finish = async (i_id) => {
      const box: [number, number, number, number] = [10, 10, 20, 20];
      return { top: null, predictions: [{ label: i_id, score: 0.9, box }], regions: [] };
    };
    const layout = { rows: 1, columns: 2, overlap: 0, whole: true };
    world.offerFrame(['m'], { node: 'pi-1', width: 640, height: 480 }, layout);
    for (let i = 0; i < 5; i++) await world.settle();
    expect(world.orders.filter((order) => !order.startsWith('free'))).toEqual(['take 1-0', 'done f0']);
    expect(world.opened).toEqual(['1-0']);
    expect(world.data.calls.filter((call) => call.startsWith('open'))).toHaveLength(3);
    expect(world.ended).toMatchObject([
      {
        end: { i_id: '1-0', outcome: 'ok', sections: 3 },
        size: { width: 640, height: 480 },
        answer: {
          predictions: [
            { label: '1-0', box: [10, 10, 20, 20] },
            { label: '1-1', box: [330, 10, 340, 20] },
            { label: '1-2', box: [10, 10, 20, 20] },
          ],
        },
      },
    ]);
    expect(world.runner.openFrames()).toEqual([]);
  });
});

describe('parts', () => {
  const plan = tilesAndTail(2);
  const { id } = plan.plan;

  /** A node that got both parts of a frame. */
  async function asked(): Promise<EffectWorld> {
    const world = new EffectWorld();
    world.offerPlan(servedPlan(plan));
    world.startNode('n1');
    world.tell({ type: 'node-ready', node: 'n1', plan: id });
    await world.settle();
    world.offerFrame();
    await world.settle();
    return world;
  }

  const result = (world: EffectWorld, t_id: number): void => {
    const about = {
      node: 'n1',
      plan: id,
      i_id: '1-0',
      stage: 0,
      t_id,
      attempt: 0,

      compute_ms: 1,
      queue_ms: 0,
    };
    world.tell({
      type: 'part-result',
      ...about,
      regions: [{ tensor: 't1', at: 'central', bytes: 1 }],
      handle: world.runner.keepRegions(id, [someRegion]),
    });
  };

  it('go to a node in one message, whose bytes are counted', async () => {
    const world = await asked();
    expect(world.sentTo('n1', 'work')).toMatchObject([
      { plan: id, i_id: '1-0', stage: 0, attempt: 0, tiles: [{ t_id: 0 }, { t_id: 1 }] },
    ]);
    expect(world.events).toContainEqual({
      type: 'work-sent',
      node: 'n1',
      i_id: '1-0',
      stage: 0,
      attempt: 0,
      bytes: 123,
    });
    result(world, 0);
    result(world, 1);
    await world.settle();
    expect(world.ended[0]!.end).toMatchObject({
      outcome: 'ok',
      tiles_per_node: { n1: 2, central: 1 },
      bytes_up: 123,
      bytes_down: 2,
    });
  });

  it('that cannot be sent are done by another node', async () => {
    const world = new EffectWorld({ max_tries: 1 });
    world.offerPlan(servedPlan(plan));
    world.startNode('n1');
    world.tell({ type: 'node-ready', node: 'n1', plan: id });
    await world.settle();
    world.wireFails = true;
    world.offerFrame();
    await world.settle();
    expect(world.ended[0]!.end).toMatchObject({ outcome: 'ok', tiles_per_node: { central: 3 } });
    expect(world.log.lines).toContain('warn work for n1: the broker is gone');
  });

  it('of a frame that has ended are not sent', async () => {
    const world = await asked();
    world.data.frames.delete('1-0');
    const { sent } = world;
    const count = sent.length;
    world.carryOut({
      type: 'work',
      node: 'n1',
      plan: id,
      i_id: '1-0',
      stage: 0,
      attempt: 1,
      t_ids: [0],
      budget_ms: 1000,
    });
    await world.settle();
    expect(sent).toHaveLength(count);
  });

  it('whose outputs do not match the request are sent again, and the log says why', async () => {
    const world = await asked();
    world.data.wrong = 'not clip4';
    result(world, 0);
    await world.settle();
    world.data.failing.set('paste', new Error('the thread ended'));
    result(world, 1);
    await world.settle();
    for (const t_id of [0, 1])
      expect(world.events).toContainEqual({
        type: 'regions-moved',
        i_id: '1-0',
        stage: 0,
        t_id,
        ok: false,
        exit: false,
      });
    expect(world.log.lines.join()).toContain('not clip4');
    expect(world.ended[0]!.end).toMatchObject({ outcome: 'ok', tiles_per_node: { central: 3 } });
  });

  it('whose regions stay at nodes go in one message with those whose regions do not', async () => {
    const world = await asked();
    const count = world.sent.length;
    const work = { type: 'work', node: 'n1', i_id: '1-0', stage: 0, plan: id, attempt: 1, budget_ms: 1000 } as const;
    world.carryOut({ ...work, t_ids: [0, 1], ways: [{ t_id: 1, in: [], out: [] }] });
    await world.settle();
    expect(world.data.calls.slice(-2)).toEqual([`pack 1-0 ${id} 0 0`, `packWays 1-0 ${id} 0 1`]);
    expect(world.sent.slice(count)).toMatchObject([{ message: { tiles: [{ t_id: 0 }, { t_id: 1 }] } }]);
  });

  it('orders regions of a node in the codec of the plan, and tells it which frames have ended', async () => {
    const world = await asked();
    const box = [[0, 1] as const];
    const about = { node: 'n1', plan: id, i_id: '1-0', stage: 0, t_id: 1, attempt: 2, request: 7 };
    world.carryOut({ type: 'send', ...about, regions: [{ tensor: 't1', box }], to: ['n2'] });
    world.carryOut({ type: 'free', node: 'n1', i_ids: ['1-0', '1-1'] });
    expect(world.sentTo('n1', 'control').slice(-2)).toMatchObject([
      {
        type: 'send',
        t_id: 1,
        attempt: 2,
        request: 7,
        regions: [{ tensor: 't1', codec: { name: 'raw' } }],
        to: ['n2'],
      },
      { type: 'free', i_id: ['1-0', '1-1'] },
    ]);
  });

  it('are cancelled at the node that has them', async () => {
    const world = await asked();
    const about = { i_id: '1-0', stage: 0, t_ids: [0, 1] };
    world.carryOut({ type: 'cancel', node: 'n1', ...about });
    world.carryOut({ type: 'cancel', node: 'central', ...about });
    expect(world.sentTo('n1', 'control').at(-1)).toMatchObject({ type: 'cancel', i_id: '1-0', stage: 0, t_id: [0, 1] });
    expect(world.executed).toContain('cancel 1-0 0 0,1');
  });

  it.each(['n1', 'central'])('that are cancelled while they are packed are not sent to %s', async (node) => {
    const world = await asked();
    const count = world.sent.length;
    const about = { node, i_id: '1-0', stage: 0 };
    const work = { type: 'work', ...about, plan: id, attempt: 1, budget_ms: 1000 } as const;
    world.carryOut({ ...work, t_ids: [0, 1] });
    world.carryOut({ type: 'cancel', ...about, t_ids: [1] });
    await world.settle();
    const tiles = world.sent.slice(count).filter(({ kind }) => kind === 'work');
    expect(tiles.flatMap(({ message }) => message.tiles)).toMatchObject(node === 'n1' ? [{ t_id: 0 }] : []);
    expect(world.executed.filter((line) => line.startsWith('run'))).toEqual(node === 'n1' ? [] : [`run ${id} 1-0 0 0`]);
    world.carryOut({ ...work, t_ids: [0] });
    world.carryOut({ type: 'cancel', ...about, t_ids: [0] });
    const before = world.events.length;
    await world.settle();
    expect(world.events.slice(before)).toEqual([]);
  });

  it('that central cannot compute itself are errors like those of nodes', async () => {
    const world = new EffectWorld();
    world.offerPlan(a);
    await world.settle();
    world.executorFails = true;
    world.offerFrame();
    await world.settle();
    expect(world.ended[0]!.end).toMatchObject({ outcome: 'error', failure: { code: 'TESSERA_RUN_FAILED' } });
  });
});
