import { progressText } from '../central/observers/readiness.ts';
import { counted } from '../shared/counted.ts';
import { plain } from '../shared/log-throttle.ts';
import type { Bus } from '../shared/ports.ts';
import { type PlanPreparation, planPreparation } from '../shared/protocol/messages/node.ts';
import type { Topics } from '../shared/protocol/topics.ts';
import { readJson } from './frames.ts';
import type { Shown } from './progress.ts';

/** Time from the start of a preparation to the first note, and between notes, ms. */
const FIRST_MS = 2000;
const AGAIN_MS = 5000;
/** Nodes that a note names. */
const MAX_NAMED = 4;

/** How far the nodes are with a model's plan in words; undefined where none of them prepares it. */
export function preparationText(model: string, { nodes }: PlanPreparation): string | undefined {
  const all = Object.entries(nodes);
  const busy = all.filter(([, { state }]) => state !== 'ready' && state !== 'refused');
  if (busy.length === 0) return undefined;
  const ready = all.filter(([, { state }]) => state === 'ready').length;
  const named = busy.slice(0, MAX_NAMED).map(([node, state]) => `${plain(node)} ${progressText(state)}`);
  const more = busy.length > MAX_NAMED ? [`${busy.length - MAX_NAMED} more prepare it`] : [];
  return [`model ${plain(model)}: ${ready} of ${counted(all.length, 'node')} ready`, ...named, ...more].join('; ');
}

/**
 * Shows how far nodes are with plans, where that takes long, as `showProgress` does. Programs get the last step too, and
 * nothing of plans for which all nodes were ready before.
 */
export async function showPreparations(bus: Bus, topics: Topics, { json, out }: Shown): Promise<void> {
  const due = new Map<string, number>();
  const underWay = new Set<string>();
  await bus.subscribe(topics.planProgressAll, 1, ({ topic, payload }) => {
    const model = topic.split('/').at(-2)!;
    const parsed = planPreparation.safeParse(readJson(payload));
    const text = parsed.success ? preparationText(model, parsed.data) : undefined;
    if (json && parsed.success) {
      const wasUnderWay = underWay.delete(model);
      if (text !== undefined) underWay.add(model);
      if (text !== undefined || wasUnderWay)
        out.event({ event: 'progress', work: `prepare ${model}`, nodes: parsed.data.nodes });
    }
    if (json) return;
    if (text === undefined) {
      due.delete(model);
      return;
    }
    const now = performance.now();
    const at = due.get(model) ?? now + FIRST_MS;
    due.set(model, now < at ? at : now + AGAIN_MS);
    if (now >= at) out.progress(text);
  });
}
