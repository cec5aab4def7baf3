import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { choosePlan, type PlanRequest } from '../../../central/planner/default-plan.ts';
import { withExits } from '../../../central/planner/exits.ts';
import { loadServedModel, type ServedModel } from '../../../central/served-model.ts';
import { parseCard } from '../../../shared/model/card.ts';
import type { Model } from '../../../shared/onnx/model.ts';
import type { Plan } from '../../../shared/plan/plan.ts';
import { checkPlan, parsePlan } from '../../../shared/plan/validate.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { openSigningKey } from '../../../shared/runtime/signature.ts';
import { Network } from '../../shared/tiling/network.ts';
import { exitNetwork } from '../../support/tiny-network.ts';

/**
 * An exit that is placed too late, or makes central do the nodes' work, saves nothing; one that is lost breaks a
 * promise of the card.
 */

const EARLY = { tensor: 'early', threshold: 0.9 };
const LATE = { tensor: 'late', threshold: 0.8 };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-exits-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function loaded(card: object, model: Model = exitNetwork()): Promise<ServedModel> {
  const parsed = parseCard({ name: 'exits', task: 'classify', output: { decoder: 'logits' }, ...card }, 'model.yaml');
  const request = { name: 'exits', card: parsed, labels: [], model, picture: false };
  return loadServedModel(request, await openBlobStore(folder), await openSigningKey(folder));
}

/** What the plan does, a line per stage; the plan itself is checked against the network. */
async function stages(card: object, request: Partial<PlanRequest> = {}): Promise<string[]> {
  const served = await loaded(card);
  const { plan } = choosePlan(served, { nodeCount: 2, ...request });
  parsePlan(JSON.parse(JSON.stringify(plan)));
  checkPlan(plan, { inputs: ['x'], outputs: served.outputs });
  return plan.stages.map(({ inputs, outputs, split, on, exit }) => {
    const where = 'nodes' in on && on.nodes !== '*' ? on.nodes.join() : 'nodes';
    const ends = exit === undefined ? '' : ` or ends with ${exit.tensor} at ${exit.threshold}`;
    return `${split.kind} on ${where}: ${inputs} -> ${outputs}${ends}`;
  });
}

describe('exits in plans', () => {
  it('cuts at every exit where the configuration sets no cut', async () => {
    expect(await stages({ exits: [EARLY, LATE] })).toEqual([
      'tiles on nodes: x -> p',
      'whole on central: p -> early or ends with early at 0.9',
      'tiles on nodes: p -> q',
      'whole on central: q -> late or ends with late at 0.8',
      'whole on central: q -> y',
    ]);
  });

  it("splits central's stage where an exit lies within it, whatever the order in model.yaml", async () => {
    const divided = [
      'tiles on nodes: x -> p',
      'whole on central: p -> early or ends with early at 0.9',
      'whole on central: p -> late,q or ends with late at 0.8',
      'whole on central: q -> y',
    ];
    expect(await stages({ exits: [EARLY, LATE] }, { cuts: ['p'] })).toEqual(divided);
    expect(await stages({ exits: [LATE, EARLY] }, { cuts: ['p'] })).toEqual(divided);
    expect(await stages({ exits: [EARLY, LATE] }, { strategy: 'single' })).toEqual([
      'whole on central: x -> early,p or ends with early at 0.9',
      'whole on central: p -> late,q or ends with late at 0.8',
      'whole on central: q -> y',
    ]);
  });

  it('keeps the cuts for which the network was retrained, and warns of an exit that lies within a stage on nodes', async () => {
    const card = { exits: [EARLY, LATE], tiles: [{ after: 'q', grid: [2, 2] }] };
    expect(await stages(card)).toEqual([
      'tiles on nodes: x -> q',
      'whole on central: q -> late or ends with late at 0.8',
      'whole on central: q -> y',
    ]);
    const { plan } = choosePlan(await loaded(card), { nodeCount: 2 });
    expect(plan.reason).toMatch(/exit 0 is not used: its head starts within a stage on nodes; may end at exit 1$/);
  });

  it('does not cut a network that one node computes whole', async () => {
    expect(await stages({ exits: [EARLY, LATE] }, { strategy: 'replicate' })).toEqual(['whole on nodes: x -> y']);
  });

  it('neither evaluates nor computes exits where the user turns them off', async () => {
    expect(await stages({ exits: [EARLY, LATE] }, { exits: false, cuts: ['p'] })).toEqual([
      'tiles on nodes: x -> p',
      'whole on central: p -> y',
    ]);
  });

  it('treats additional outputs that model.yaml does not name as exits as outputs', async () => {
    expect((await loaded({})).outputs).toEqual(['early', 'late', 'y']);
    const last = (await stages({}, { cuts: ['p'] })).at(-1);
    expect(last).toBe('whole on central: p -> early,late,y');
    expect((await loaded({ exits: [EARLY] })).outputs).toEqual(['late', 'y']);
  });

  it('refuses a model whose outputs are all exits', async () => {
    const exits = [EARLY, LATE, { tensor: 'y', threshold: 0.5 }];
    await expect(loaded({ exits })).rejects.toThrow(/model "exits": exits names every output/);
    const output = { decoder: 'logits', tensors: ['none'] };
    await expect(loaded({ exits: [EARLY], output })).rejects.toThrow(/output\.tensors names "none"/);
  });

  it("an exit that reads the network's own output leaves that output to the last stage", async () => {
    const served = await loaded({ exits: [EARLY] });
    const { plan } = choosePlan(served, { nodeCount: 2, exits: false, cuts: ['p'] });
    const card = { ...served.card, exits: [{ tensor: 'y-flat', threshold: 0.5 }] };
    const made: Plan = withExits(plan, { ...served, card });
    checkPlan(made, { inputs: ['x'], outputs: ['late', 'y'] });
    expect(made.stages.map(({ outputs }) => outputs)).toEqual([['p'], ['y-flat', 'q'], ['late', 'y']]);
  });
});

describe('exits in networks with parallel branches', () => {
  const conv = { kernel_shape: [3, 3], pads: [1, 1, 1, 1] };
  const head = (net: Network, ...from: string[]): string => {
    const [map, more] = from;
    const pooled = net.op('GlobalAveragePool', [more === undefined ? map! : net.op('Add', [map!, more])]);
    return net.op('Gemm', [net.op('Flatten', [pooled]), net.weight(4, 5)]);
  };

  it("a feature map for an exit's head is computed by one stage, even where central could compute it as cheaply as nodes", async () => {
    const net = new Network();
    const first = net.conv(net.input([1, 3, 16, 16]), 3, 4, [3, 3], conv);
    const relu = net.op('Relu', [first]);
    const second = net.conv(relu, 4, 4, [3, 3], conv);
    const [exit, answer] = [head(net, relu), head(net, net.op('Add', [second, relu]))];
    const card = { exits: [{ tensor: exit, threshold: 0.5 }], output: { decoder: 'logits', tensors: [answer] } };
    const served = await loaded(card, net.resolve(exit, answer).model);
    const { plan } = choosePlan(served, { nodeCount: 2, cuts: [first, [second, relu]] });
    checkPlan(plan, { inputs: ['x0'], outputs: served.outputs });
    expect(plan.stages.map(({ outputs }) => outputs)).toEqual([[first], [exit], [relu, second], [answer]]);
  });

  it('makes no cut for a feature map that only exits read', async () => {
    const net = new Network();
    const input = net.input([1, 4, 16, 16]);
    const first = net.op('Relu', [input]);
    const second = net.conv(first, 4, 4, [3, 3], conv);
    const exits = [head(net, first, second), head(net, second, first)];
    const answer = head(net, net.conv(net.op('Add', [second, input]), 4, 4, [3, 3], conv));
    const card = {
      exits: exits.map((tensor) => ({ tensor, threshold: 0.5 })),
      output: { decoder: 'logits', tensors: [answer] },
    };
    const served = await loaded(card, net.resolve(...exits, answer).model);
    const { plan } = choosePlan(served, { nodeCount: 2 });
    checkPlan(plan, { inputs: ['x0'], outputs: served.outputs });
    expect(plan.stages.flatMap(({ exit }) => (exit === undefined ? [] : [exit.tensor]))).toEqual(exits);
  });
});

describe('invalid exits', () => {
  it.each([
    [{ tensor: 'nothing', threshold: 0.5 }, /exits\[0\]\.tensor: "nothing" is no tensor/],
    [{ tensor: 'p', threshold: 0.5 }, /"p" is \[1, 16, 8, 8\]; an exit is, .* each of its 4 classes/],
  ])('%j is refused when the model is loaded', async (exit, message) => {
    await expect(loaded({ exits: [exit], output: { decoder: 'logits', tensors: ['y'] } })).rejects.toMatchObject({
      code: 'TESSERA_MODEL_CARD',
      message: expect.stringMatching(message),
    });
  });
});
