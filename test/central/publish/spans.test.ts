import { describe, expect, it } from 'vitest';
import type { PartTrace } from '../../../central/coordinator/frame-end.ts';
import { spansOf } from '../../../central/publish/spans.ts';

const part = (more: Partial<PartTrace>): PartTrace => ({
  stage: 0,
  t_id: 0,
  node: 'pi-1',
  attempt: 0,
  sent_ms: 10,
  received_ms: 100,
  pasted_ms: 102,
  compute_ms: 20,
  queue_ms: 5,
  bytes: 1,
  hedged: false,
  used: true,
  ...more,
});
const steps = { accepted_ms: 1, opened_ms: 8, finishing_ms: 110 };

/** Kinds with their times, for reading. */
const timesOf = (trace: readonly PartTrace[], more: Partial<Parameters<typeof spansOf>[0]> = {}): string[] =>
  spansOf({ steps, latency_ms: 120, trace, ...more }).map(
    ({ kind, node, message, from_ms, to_ms }) =>
      `${kind} ${from_ms}-${to_ms} ${node}${message === null ? '' : ` ${message.parts}`}`,
  );

describe('the time of a frame', () => {
  it('is its own steps, and for each message the way there, waiting, computing, the way back and pasting', () => {
    const parts = [part({}), part({ t_id: 1, received_ms: 95, pasted_ms: 96 })];
    expect(timesOf(parts)).toEqual([
      'wait 0-1 central',
      'decode 1-8 central',
      'travel 10-32.5 pi-1 2',
      'wait 32.5-37.5 pi-1 2',
      'compute 37.5-77.5 pi-1 2',
      'travel 77.5-100 pi-1 2',
      'paste 100-102 pi-1 2',
      'tail 110-120 central',
    ]);
  });

  it('is in the order of the messages; those without an answer are lost, those that wait for credit were not sent', () => {
    const parts = [
      part({ node: 'pi-2', sent_ms: 20, received_ms: null, pasted_ms: null }),
      part({ node: 'pi-3', sent_ms: null, received_ms: null, pasted_ms: null }),
      part({ attempt: 1, sent_ms: 15, received_ms: 40, pasted_ms: null, queue_ms: 0, compute_ms: 25 }),
    ];
    expect(timesOf(parts).slice(2, -1)).toEqual(['compute 15-40 pi-1 1', 'lost 20-120 pi-2 1']);
  });

  it('never runs backwards where a node says that it computed longer than its message was away', () => {
    const spans = spansOf({ steps, latency_ms: 120, trace: [part({ compute_ms: 500 })] });
    for (const { from_ms, to_ms } of spans) expect(to_ms).toBeGreaterThanOrEqual(from_ms);
  });

  it('ends early where the frame failed, and has no steps of its own where it was seen in sections', () => {
    expect(timesOf([], { steps: { accepted_ms: 1, opened_ms: null, finishing_ms: null } })).toEqual([
      'wait 0-1 central',
      'decode 1-120 central',
    ]);
    const { steps: _, ...sections } = { steps, latency_ms: 120, trace: [part({})] };
    expect(spansOf(sections).map(({ kind }) => kind)).toEqual(['travel', 'wait', 'compute', 'travel', 'paste']);
  });
});
