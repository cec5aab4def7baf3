import { expect, test } from 'vitest';
import { atCentral, sketchPlan } from '../../../bench/sim/plans.ts';
import { ModelStatuses } from '../../../central/observers/model-statuses.ts';
import { PlanStatuses } from '../../../central/observers/plan-statuses.ts';
import type { Failure } from '../../../shared/errors.ts';
import { centralModels, planStatus } from '../../../shared/protocol/messages/central.ts';
import { topics } from '../../../shared/protocol/topics.ts';
import { compiledPlan, fakeModel } from '../../support/central-world.ts';

/** Lost if these fail: people and programs see another plan than the one that runs, or miss a model that is refused. */

const served = { compiled: compiledPlan(sketchPlan([{ tiles: 1, on: atCentral }])), model: fakeModel };

test('a plan that becomes active is published under its model, with its stages and the time', () => {
  const published: [string, unknown][] = [];
  const retain = (topic: string, text: string) => published.push([topic, planStatus.parse(JSON.parse(text))]);
  const statuses = new PlanStatuses({ publisher: { retain }, topics: topics(), time: () => 1000 });
  statuses.planActive('m', served);
  const { id } = served.compiled.plan;
  expect(published).toEqual([['tessera/plan/m', expect.objectContaining({ id, since: 1000 })]]);
  expect(published[0]![1]).toMatchObject({ stages: [{ id: 0, on: 'central' }] });
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
