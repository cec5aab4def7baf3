import { expect, test } from 'vitest';
import { problemOfProfile } from '../../../central/planner/profile/problem.ts';
import { checkFigures, type DemandOptions, demandsOf } from '../../../cli/plan/demands.ts';
import { bareProfile, skipProfile } from '../../central/planner/profile/profiles.ts';

const problem = problemOfProfile(bareProfile());
const nothing: DemandOptions = {
  top: 5,
  use: [],
  avoid: [],
  pin: [],
  maxUpload: [],
  maxTime: [],
  maxMemory: [],
  deadline: undefined,
  minAgreement: undefined,
  objective: 'latency',
};
const demands = (given: Partial<DemandOptions>) => demandsOf({ ...nothing, ...given }, problem);

test('demands are read as they are written', () => {
  expect(
    demands({
      use: ['edge'],
      avoid: ['vm'],
      pin: ['a=device', '2=pi'],
      maxUpload: ['device=0.5'],
      maxTime: ['edge=30', 'pi=20%'],
      maxMemory: ['box=100'],
      deadline: 200,
      minAgreement: 0.99,
    }),
  ).toEqual({
    objective: 'latency',
    top: 5,
    use: ['edge'],
    avoid: ['vm'],
    pins: [
      { block: 0, on: 'device' },
      { block: 2, on: 'pi' },
    ],
    max_upload: [{ of: 'device', bytes: 500_000 }],
    max_time: [
      { of: 'edge', ms: 30 },
      { of: 'pi', share: 0.2 },
    ],
    max_memory: [{ of: 'box', bytes: 100e6 }],
    deadline_ms: 200,
    agreement: 0.99,
  });
});

test.each<[Partial<DemandOptions>, string, string]>([
  [{ use: ['boxx'] }, '--use: the profile has no tier or node "boxx"', 'did you mean box?'],
  [{ pin: ['a'] }, '--pin a: expected BLOCK=X', 'a node or a tier'],
  [{ pin: ['z=pi'] }, '--pin: the network has no block "z"', 'numbers from 0 to 2'],
  [{ pin: ['3=pi'] }, 'no block "3"', 'numbers from 0 to 2'],
  [{ maxUpload: ['pi=many'] }, '--max-upload pi=many: "many" is not a number', ''],
  [{ maxTime: ['pi=-1'] }, '"-1" is not a number from 0', ''],
  [{ maxTime: ['pi=200%'] }, '"200%" is more than 100%', ''],
  [{ objective: 'misses' }, 'needs a deadline', '--deadline'],
])('%j is refused with what is accepted', (given, message, hint) => {
  expect(() => demands(given)).toThrow(
    expect.objectContaining({
      code: 'TESSERA_USAGE',
      message: expect.stringContaining(message),
      ...(hint === '' ? {} : { hint: expect.stringContaining(hint) }),
    }),
  );
});

test('figures that an objective needs and the profile lacks are named', () => {
  const of = (more: object) => problemOfProfile(skipProfile(), undefined, more);
  expect(() => checkFigures(of({ objective: 'energy' }))).toThrow('no power figures of central');
  expect(() => checkFigures(of({ objective: 'misses', deadline_ms: 5 }))).toThrow('no measured spreads of central');
  checkFigures(of({ objective: 'energy', avoid: ['cloud'] }));
  checkFigures(of({ objective: 'latency' }));
});
