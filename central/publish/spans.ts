import { CENTRAL } from '../../shared/plan/plan.ts';
import type { FrameSpan } from '../../shared/protocol/messages/trace.ts';
import type { FrameEnd, PartTrace } from '../coordinator/frame-end.ts';

/**
 * Where the time of a frame went: its own steps at central, and for each message to a node the way there, the wait,
 * computing, the way back, and pasting. A node says how long it waited and computed; what is left is travel, half of it
 * each way. Messages are in the order in which they were sent; times are rounded to a tenth.
 */
export function spansOf(end: Pick<FrameEnd, 'steps' | 'trace' | 'latency_ms'>): FrameSpan[] {
  return exactSpans(end).map((span) => ({ ...span, from_ms: tenths(span.from_ms), to_ms: tenths(span.to_ms) }));
}

const tenths = (ms: number): number => Math.round(ms * 10) / 10;

function exactSpans({ steps, trace, latency_ms }: Parameters<typeof spansOf>[0]): FrameSpan[] {
  const messages = new Map<string, PartTrace[]>();
  for (const part of trace) {
    if (part.sent_ms === null) continue;
    const key = `${part.node} ${part.stage} ${part.attempt}`;
    messages.set(key, [...(messages.get(key) ?? []), part]);
  }
  const sent = [...messages.values()]
    .sort(([a], [b]) => a!.sent_ms! - b!.sent_ms!)
    .flatMap((parts) => messageSpans(parts, latency_ms));
  if (steps === undefined) return sent;
  const { accepted_ms, opened_ms, finishing_ms } = steps;
  const own = { node: CENTRAL, message: null };
  return [
    { ...own, kind: 'wait', from_ms: 0, to_ms: accepted_ms },
    { ...own, kind: 'decode', from_ms: accepted_ms, to_ms: opened_ms ?? latency_ms },
    ...sent,
    ...(finishing_ms === null ? [] : [{ ...own, kind: 'tail' as const, from_ms: finishing_ms, to_ms: latency_ms }]),
  ];
}

/** The spans of the parts of one message, which a node computes one after the other. */
function messageSpans(parts: readonly PartTrace[], latencyMs: number): FrameSpan[] {
  const [{ node, stage, attempt, sent_ms: sent, queue_ms }] = parts as [PartTrace];
  const of = { node, message: { stage, attempt, parts: parts.length } };
  const answered = parts.filter(({ received_ms }) => received_ms !== null);
  if (answered.length === 0) return [{ ...of, kind: 'lost', from_ms: sent!, to_ms: latencyMs }];
  const received = Math.max(...answered.map(({ received_ms }) => received_ms!));
  const pasted = Math.max(received, ...answered.map(({ pasted_ms }) => pasted_ms ?? 0));
  const wait = queue_ms ?? 0;
  const compute = answered.reduce((sum, { compute_ms }) => sum + (compute_ms ?? 0), 0);
  const travel = Math.max(0, received - sent! - wait - compute) / 2;
  const ends = [sent! + travel, sent! + travel + wait, received - travel, received, pasted];
  let from = sent!;
  return (['travel', 'wait', 'compute', 'travel', 'paste'] as const).flatMap((kind, k) => {
    const [from_ms, to_ms] = [from, Math.max(from, ends[k]!)];
    from = to_ms;
    return to_ms > from_ms ? [{ ...of, kind, from_ms, to_ms }] : [];
  });
}
