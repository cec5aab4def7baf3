import { describe, expect, test } from 'vitest';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { changesOf } from '../../../../central/planner/query/changes.ts';
import { conflictOf } from '../../../../central/planner/query/conflict.ts';
import type { Demands } from '../../../../central/planner/query/demands.ts';
import { inBlocks } from '../../../../central/planner/query/in-blocks.ts';
import { paretoFront } from '../../../../central/planner/query/pareto.ts';
import { type Ask, rank } from '../../../../central/planner/query/rank.ts';
import { exhaustive } from '../../../../central/planner/strategies/exhaustive.ts';
import type { Problem } from '../../../../central/planner/strategy.ts';
import type { Plan } from '../../../../shared/plan/plan.ts';
import { bareProfile } from '../profile/profiles.ts';

const problemWith = (demands: Demands & { agreement?: number } = {}): Problem =>
  problemOfProfile(bareProfile(), undefined, { top: 10, ...demands });
const ask: Ask = async (problem) => [
  { strategy: 'exhaustive', proposed: exhaustive.propose(problem), compared: exhaustive.compared!(problem) },
];
const ranked = async (problem: Problem) => rank(problem, await ask(problem)).ranked;
const plans = (problem: Problem): readonly Plan[] => exhaustive.propose(problem) as readonly Plan[];

const nodesOf = ({ on }: Plan['stages'][number]): readonly string[] =>
  'nodes' in on && Array.isArray(on.nodes) ? on.nodes : [];

describe('a ranking', () => {
  test('puts the plans of all strategies in one order, each once, with what is predicted', async () => {
    const problem = problemWith();
    const [first, second, third] = plans(problem);
    const proposals = [
      { strategy: 'one', proposed: [third!, first!], compared: 5 },
      { strategy: 'two', proposed: [second!, first!], compared: 2 },
    ];
    const result = rank(problem, proposals);
    expect(result.ranked.map(({ plan }) => plan.id)).toEqual([first, second, third].map((plan) => plan!.id));
    expect(result.ranked[0]!.plan.predicted).toEqual({ latency_ms: result.ranked[0]!.prediction.latency_ms });
    // One of them compared five, and there are three here.
    expect(result.compared).toBe(5);
  });

  test('says of each strategy without a plan that counts why', () => {
    const problem = problemWith({ avoid: ['edge'] });
    const [plan] = plans(problemWith());
    const stages = plan!.stages.map((stage) => ({ ...stage, on: { mode: 'share', nodes: ['moon'] } as const }));
    const back = plan!.stages.map((stage) => ({ ...stage, outputs: ['nothing'] }));
    expect(
      rank(problem, [
        { strategy: 'none', proposed: { kind: 'impossible', reason: 'no idea', hint: 'think' }, compared: 0 },
        { strategy: 'near', proposed: [plan!], compared: 1 },
        { strategy: 'far', proposed: [{ ...plan!, stages }], compared: 1 },
        { strategy: 'wrong', proposed: [{ ...plan!, stages: back }], compared: 1 },
      ]).refusals,
    ).toEqual([
      { strategy: 'none', reason: 'no idea', hint: 'think' },
      { strategy: 'near', reason: 'its plan does not meet --avoid edge' },
      { strategy: 'far', reason: expect.stringContaining('"moon"') },
      { strategy: 'wrong', reason: expect.stringContaining('no stage makes "c"') },
    ]);
  });

  test('leaves out plans for which a node has too little memory, as the exact search does', async () => {
    const problem = problemWith();
    const withMemory = (memory_mb: number): Problem => {
      const nodes = problem.nodes.map((node) => (node.id === 'box' ? { ...node, memory_mb } : node));
      return { ...problem, nodes };
    };
    const onBox = plans(problem).filter(({ stages }) => stages.length === 1 && nodesOf(stages[0]!).includes('box'));
    expect(onBox).toHaveLength(1);
    expect(plans(withMemory(1000))).toEqual(plans(problem));
    expect(plans(withMemory(0)).some(({ stages }) => stages.flatMap(nodesOf).includes('box'))).toBe(false);
    const proposals = [{ strategy: 'one', proposed: onBox, compared: 1 }];
    expect(rank(withMemory(1000), proposals).ranked).toHaveLength(1);
    expect(rank(withMemory(0), proposals).refusals[0]!.reason).toMatch(/^box has 0 MB of memory, and its plan needs /);
  });

  test('names stages by their blocks', async () => {
    const problem = problemWith({ pins: [{ block: 0, on: 'pi' }], use: ['box'], avoid: ['vm'] });
    const [best] = await ranked(problem);
    expect(inBlocks(problem, best!)).toEqual({
      latency_ms: 40 + 9 + 25,
      transferred_bytes: 4000,
      stages: [
        { node: 'pi', blocks: [0, 0] },
        { node: 'box', blocks: [1, 2] },
      ],
    });
  });
});

describe('every demand is kept', () => {
  const nodesOf = ({ stages }: Plan): (string | undefined)[] =>
    stages.map(({ on }) => ('nodes' in on ? on.nodes[0] : undefined));

  test.each<[string, Demands & { agreement?: number }, (plan: Plan) => boolean]>([
    ['use', { use: ['edge', 'vm'] }, (plan) => nodesOf(plan).includes('box') && nodesOf(plan).includes('vm')],
    ['avoid', { avoid: ['device'] }, (plan) => !nodesOf(plan).includes('pi')],
    [
      'pin',
      { pins: [{ block: 1, on: 'edge' }] },
      ({ stages }) => {
        const [stage] = stages.filter(({ inputs, outputs }) => outputs[0] !== 'a' && inputs[0] !== 'b');
        return stage !== undefined && 'nodes' in stage.on && stage.on.nodes[0] === 'box';
      },
    ],
    [
      'max-time',
      { max_time: [{ of: 'device', ms: 50 }] },
      ({ stages }) => stages[0]!.outputs[0] === 'a' || !JSON.stringify(stages).includes('"pi"'),
    ],
    ['deadline', { deadline_ms: 91 }, () => true],
    ['agreement', { agreement: 0.99 }, () => true],
  ])('%s', async (_, demands, isKept) => {
    const problem = problemWith(demands);
    const found = await ranked(problem);
    expect(found.length).toBeGreaterThan(0);
    for (const { plan, prediction } of found) {
      expect(isKept(plan), JSON.stringify(nodesOf(plan))).toBe(true);
      expect(prediction.latency_ms).toBeLessThanOrEqual(demands.deadline_ms ?? Number.POSITIVE_INFINITY);
    }
  });

  test('limits of bytes and memory hold for a tier together, and for each machine', async () => {
    for (const { prediction } of await ranked(problemWith({ max_upload: [{ of: 'device', bytes: 1000 }] })))
      expect(prediction.machines.find(({ id }) => id === 'pi')?.upload_bytes ?? 0).toBeLessThanOrEqual(1000);
    for (const { prediction } of await ranked(problemWith({ max_memory: [{ of: 'edge', bytes: 4000 }] })))
      expect(prediction.machines.find(({ id }) => id === 'box')?.memory_bytes ?? 0).toBeLessThanOrEqual(4000);
  });

  test('a share of the computing', async () => {
    for (const { prediction } of await ranked(problemWith({ max_time: [{ of: 'cloud', share: 0.1 }] }))) {
      const of = (tier?: string): number =>
        prediction.stages
          .flatMap(({ parts }) => parts)
          .reduce((sum, { node, start_ms, end_ms }) => {
            return tier === undefined || node === tier ? sum + end_ms - start_ms : sum;
          }, 0);
      expect(of('vm')).toBeLessThanOrEqual(0.1 * of() + 1e-9);
    }
  });
});

describe('demands that contradict one another', () => {
  const isPossible = async (problem: Problem): Promise<boolean> => (await ranked(problem)).length > 0;
  const namesOf = async (demands: Demands) =>
    (await conflictOf(problemWith(demands), isPossible)).map(({ text }) => text);

  test('are named, and none that has nothing to do with it', async () => {
    expect(await namesOf({ use: ['box', 'vm'], avoid: ['cloud'], deadline_ms: 1000 })).toEqual([
      '--use vm',
      '--avoid cloud',
    ]);
    expect(
      await namesOf({
        pins: [
          { block: 0, on: 'vm' },
          { block: 2, on: 'pi' },
        ],
      }),
    ).toEqual(['--pin 0=vm', '--pin 2=pi']);
  });

  test('one that cannot be met at all stands alone', async () => {
    expect(await namesOf({ avoid: ['vm'], deadline_ms: 1 })).toEqual(['--deadline 1']);
    expect(await namesOf({ max_upload: [{ of: 'pi', bytes: 0 }], max_time: [{ of: 'pi', ms: 5 }] })).toEqual([
      '--max-upload pi=0',
      '--max-time pi=5',
    ]);
  });

  test('without any demand there is nothing to name', async () => {
    const problem = { ...problemWith({ deadline_ms: 1 }), nodes: [] };
    expect(await conflictOf(problem, isPossible)).toEqual([]);
  });
});

describe('what would change the answer', () => {
  test('is the speed at which another plan wins, and shortly before which it does not', async () => {
    const problem = problemWith({ avoid: ['device'] });
    const found = await ranked(problem);
    // All on box: 5 + 1000 / 1000 + 35 ms; all on vm: 50 + 1000 / 100 + 7 ms.
    expect(found[0]!.prediction.latency_ms).toBe(41);
    const changes = await changesOf(problem, found, ask);
    const box = changes.find(({ name }) => name === 'box')!;
    expect(box).toMatchObject({ kind: 'node', from: 1 });
    const bestAt = async (speed: number) => {
      const nodes = bareProfile().nodes.map((node) => {
        return node.id === 'box' ? { ...node, block_ms: node.block_ms.map((ms) => ms / speed) } : node;
      });
      const slower = problemOfProfile({ ...bareProfile(), nodes }, undefined, problem.constraints);
      return (await ranked(slower))[0]!.plan.id;
    };
    expect(await bestAt(box.to)).toBe(box.winner.plan.id);
    expect(await bestAt(1.02 * box.to)).toBe(found[0]!.plan.id);
    // The link to vm costs 50 ms whatever its bandwidth.
    expect(changes.map(({ name }) => name)).not.toContain('pi > vm');
  });

  test('where frames go through the broker, the links to it and from it are varied', async () => {
    const links = [
      { from: 'pi', to: 'hub', rtt_ms: 1, mbps: 8 },
      { from: 'hub', to: 'box', rtt_ms: 1, mbps: 8 },
      { from: 'hub', to: 'vm', rtt_ms: 30, mbps: 8 },
    ];
    const problem = problemOfProfile({ ...bareProfile(), links, broker: 'hub' }, undefined, {
      top: 10,
      avoid: ['device'],
    });
    const changes = await changesOf(problem, await ranked(problem), ask);
    expect(changes).toContainEqual(expect.objectContaining({ kind: 'link', name: 'hub > box', from: 8 }));
  });

  test('an answer that nothing changes has no list', async () => {
    const problem = { ...problemWith(), links: [] };
    expect(await changesOf(problem, await ranked(problem), ask)).toEqual([]);
  });
});

test('the Pareto front has what no other plan beats in both latency and bytes', async () => {
  const all = await ranked(problemWith());
  const front = paretoFront(all);
  for (const { prediction: a } of all)
    expect(
      front.some(({ prediction: b }) => b.latency_ms <= a.latency_ms && b.transferred_bytes <= a.transferred_bytes),
    ).toBe(true);
  for (const { prediction: a } of front)
    expect(
      all.some(({ prediction: b }) => b.latency_ms < a.latency_ms && b.transferred_bytes < a.transferred_bytes),
    ).toBe(false);
});
