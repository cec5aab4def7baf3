import { expect, test } from 'vitest';
import { atCentral, sketchPlan } from '../../../bench/sim/plans.ts';
import type { EndedFrame } from '../../../central/effects.ts';
import { ModelStatuses } from '../../../central/observers/model-statuses.ts';
import { PlanStatuses } from '../../../central/observers/plan-statuses.ts';
import type { Failure } from '../../../shared/errors.ts';
import { silentLog } from '../../../shared/ports.ts';
import { centralModels, planStatus } from '../../../shared/protocol/messages/central.ts';
import { topics } from '../../../shared/protocol/topics.ts';
import { compiledPlan, fakeModel } from '../../support/central-world.ts';
import { emptyResult } from '../../support/result-object.ts';

/** Lost if these fail: people and programs see another plan than the one that runs, or miss a model that is refused. */

const served = { compiled: compiledPlan(sketchPlan([{ tiles: 1, on: atCentral }])), model: fakeModel };
const world = { time: () => 1000, memory: () => new Map(), log: silentLog };

test('a plan that becomes active is published under its model, with its stages and the time', () => {
  const published: [string, unknown][] = [];
  const retain = (topic: string, text: string) => published.push([topic, planStatus.parse(JSON.parse(text))]);
  const statuses = new PlanStatuses({ publisher: { retain }, topics: topics(), ...world });
  statuses.planActive('m', served);
  const { id } = served.compiled.plan;
  expect(published).toEqual([['tessera/plan/m', expect.objectContaining({ id, since: 1000 })]]);
  expect(published[0]![1]).toMatchObject({ stages: [{ id: 0, on: 'central' }] });
});

test('the latency of its frames is published when there are new ones, without those of another plan', () => {
  const published: (number | undefined)[] = [];
  const retain = (_: string, text: string) =>
    published.push(planStatus.parse(JSON.parse(text)).measured?.latency_ms ?? undefined);
  const statuses = new PlanStatuses({ publisher: { retain }, topics: topics(), ...world });
  const ended = (latency_ms: number, plan = served.compiled.plan.id) =>
    statuses.frameEnded(
      { end: { trace: [] } } as unknown as EndedFrame,
      emptyResult({ model: 'm', plan, status: 'ok', latency_ms }),
    );
  statuses.planActive('m', served);
  statuses.measure();
  for (const ms of [30, 10, 20]) ended(ms);
  ended(900, 'p-before');
  statuses.measure();
  statuses.measure();
  expect(published).toEqual([undefined, 20]);
});

test('of each stage the computing of its slowest node is published, over the parts that were used', () => {
  const published: unknown[] = [];
  const retain = (_: string, text: string) => published.push(planStatus.parse(JSON.parse(text)).measured?.stages);
  const statuses = new PlanStatuses({ publisher: { retain }, topics: topics(), ...world });
  statuses.planActive('m', served);
  const part = (stage: number, node: string, compute_ms: number | null, used = true) => ({
    ...{ stage, node, compute_ms, used },
  });
  const trace = [
    part(1, 'central', 7),
    part(0, 'pi-1', 10),
    part(0, 'pi-1', 20),
    part(0, 'pi-2', 25),
    part(0, 'pi-3', 99, false),
    part(0, 'pi-2', null),
  ];
  const result = emptyResult({ model: 'm', plan: served.compiled.plan.id, status: 'ok' });
  statuses.frameEnded({ end: { trace } } as unknown as EndedFrame, result);
  statuses.measure();
  expect(published.at(-1)).toEqual([
    { id: 0, compute_ms: 30 },
    { id: 1, compute_ms: 7 },
  ]);
});

test('a plan that was made while frames flow says what it was made for', () => {
  const published: unknown[] = [];
  const retain = (_: string, text: string) => published.push(planStatus.parse(JSON.parse(text)).changed);
  const statuses = new PlanStatuses({ publisher: { retain }, topics: topics(), ...world });
  statuses.planActive('m', { ...served, changes: [{ what: 'network', node: 'pi-1' }] });
  expect(published).toEqual([[{ what: 'network', node: 'pi-1' }]]);
});

test('the memory of machines while a plan replaced another is published once the old one is gone for some time', () => {
  const published: unknown[] = [];
  let memory = new Map([
    ['a', 100],
    ['b', 80],
  ]);
  const lines: string[] = [];
  const retain = (_: string, text: string) => published.push(planStatus.parse(JSON.parse(text)).memory);
  const log = { info: (line: string) => void lines.push(line) };
  const statuses = new PlanStatuses({ publisher: { retain }, topics: topics(), ...world, memory: () => memory, log });
  const look = (a: number): void => {
    memory = new Map([['a', a]]);
    statuses.lookAtMemory();
  };
  const { id } = served.compiled.plan;
  statuses.planOffered('m', id);
  statuses.planActive('m', served);
  statuses.planOffered('m', id);
  statuses.planOffered('m', 'p-next');
  look(150);
  const plan = { ...served.compiled.plan, id: 'p-next' };
  statuses.planActive('m', { ...served, compiled: { ...served.compiled, plan } });
  look(130);
  statuses.planRetired(id);
  for (const mb of [120, 110, 105, 200]) look(mb);
  expect(published).toEqual([
    undefined,
    undefined,
    { a: { before_mb: 100, most_mb: 150, after_mb: 105 }, b: { before_mb: 80, most_mb: 80, after_mb: null } },
  ]);
  expect(lines).toEqual(['model m has changed its plan: a had 100 MB before, at most 150 MB, and 105 MB after it']);
});

test('models are published from the start, as served once they have a plan, and as refused with the reason', () => {
  const published: unknown[] = [];
  const refused = new Map<string, Failure>();
  const retain = (_: string, text: string) => published.push(centralModels.parse(JSON.parse(text)).models);
  const statuses = new ModelStatuses({ refused, publisher: { retain }, topics: topics() });
  statuses.start();
  statuses.planActive('m');
  refused.set('broken', { code: 'TESSERA_MODEL_INVALID', message: 'no graph' });
  statuses.modelsChanged();
  refused.set('m', { code: 'TESSERA_MODEL_INVALID', message: 'its file changed' });
  statuses.modelsChanged();
  const broken = { state: 'refused', error: expect.objectContaining({ message: 'no graph' }) };
  expect(published).toEqual([
    {},
    { m: { state: 'served' } },
    { m: { state: 'served' }, broken },
    { m: { state: 'refused', error: expect.objectContaining({ message: 'its file changed' }) }, broken },
  ]);
});
