import { describe, expect, it } from 'vitest';
import { resultLine } from '../../cli/result-line.ts';
import { resultObject } from '../../shared/protocol/messages/result.ts';
import { examplesOf } from '../support/examples.ts';

const [detected, failed] = examplesOf('docs/protocol.md')
  .filter(({ schema }) => schema === 'result')
  .map(({ value }) => resultObject.parse(value));
const words = (result: typeof detected): string => resultLine(result!).replace(/^\d\d:\d\d:\d\d {2}/, '');

describe('a result as a line', () => {
  it('has camera, model, findings, latency and nodes', () => {
    expect(words(detected)).toBe('front  fastestdet  cat 0.93  219 ms  nodes pi-1, pi-2');
  });

  it('has the reason where a frame has no result', () => {
    expect(words(failed)).toBe('front  fastestdet  error TESSERA_INPUT_INVALID: the JPEG is cut off  12 ms  error');
  });

  it("always shows that a result may differ from the whole network's", () => {
    const degraded = { ...detected!, status: 'degraded' as const, approximate: true, missing: [{ stage: 0, t_id: 1 }] };
    expect(words(degraded)).toMatch(/ {2}degraded {2}1 tile missing {2}approximate$/);
  });

  it('shows at which exit a frame ended', () => {
    expect(words({ ...detected!, exit: 0, approximate: true })).toMatch(/ {2}exit 0 {2}approximate$/);
  });

  it('names three findings and counts the rest; many nodes are counted too', () => {
    const one = detected!.predictions[0]!;
    const many = { ...detected!, predictions: Array(5).fill(one), nodes: ['a', 'b', 'c', 'd'] };
    expect(words(many)).toBe('front  fastestdet  cat 0.93, cat 0.93, cat 0.93 (+2 more)  219 ms  4 nodes');
  });

  it('says that nothing was found', () => {
    expect(words({ ...detected!, predictions: [], top: null })).toContain('  nothing found  ');
    expect(words({ ...detected!, task: 'classify', predictions: [], top: null })).toContain('  none  ');
    expect(words({ ...detected!, task: 'raw', predictions: [], top: null })).toContain('  raw done  ');
  });
});
