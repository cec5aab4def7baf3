import type { SchedulablePlan } from '../../../shared/plan/compiled-plan.ts';
import { TOPIC } from '../../../shared/plan/plan.ts';
import { bytesOf } from '../graph.ts';
import type { Problem } from '../strategy.ts';
import { hopsOf } from './hop.ts';
import type { Places } from './places.ts';
import type { Sent } from './sent.ts';
import type { StageTimes } from './stage-times.ts';
import { play, type Task, type Timeline, type Transfer } from './timeline.ts';

/** One frame's way, and what it costs machines and links. */
export interface Turn {
  readonly timeline: Timeline;
  /** By machine, and by link. */
  readonly busyMs: ReadonlyMap<string, number>;
  readonly uploadBytes: ReadonlyMap<string, number>;
}

/** Plays a frame through whose parts run at these places. */
export function playTurn(
  problem: Problem,
  { plan, stages, answers }: SchedulablePlan,
  places: Places,
  times: StageTimes,
  sent: Sent,
): Turn {
  const { source, sink, broker, graph } = problem;
  const hops = hopsOf(problem);
  const tasks = stages.map(({ parts }, stage) =>
    parts.map((part): Task => {
      const node = places[stage]![part.t_id]!;
      return { stage, t_id: part.t_id, node, ...times.partTime(stage, part, node) };
    }),
  );
  const transfers = new Map<string, Transfer & { readonly readers: Task[] }>();
  const need = (reader: Task | null, transfer: Omit<Transfer, 'readers' | 'to'>, to: string, box: unknown): void => {
    const { maker, tensor } = transfer;
    const name = JSON.stringify([maker?.stage, maker?.t_id, tensor, box, to]);
    const known = transfers.get(name) ?? { ...transfer, to, readers: [] };
    transfers.set(name, known);
    if (reader !== null && !known.readers.includes(reader)) known.readers.push(reader);
  };
  const origin = plan.source === TOPIC ? (broker ?? source) : source;
  const made = new Set(plan.stages.flatMap(({ outputs }) => outputs));
  plan.stages.forEach(({ inputs, split }, stage) => {
    const ofFrame = inputs.filter((tensor) => !made.has(tensor));
    for (const part of stages[stage]!.parts) {
      const task = tasks[stage]![part.t_id]!;
      for (const { stage: from, t_id, tensor, box, bytes } of part.links) {
        const maker = tasks[from]![t_id]!;
        const size = bytes * sent.share(from, tensor);
        need(task, { maker, from: maker.node, tensor, bytes: size }, task.node, box);
      }
      if (!part.reads_frame) continue;
      const frame = { maker: null, from: origin };
      // A node that reads the camera's topic gets the whole frame; a whole stage gets a tensor once.
      if (split.kind === 'whole' || plan.source === TOPIC)
        for (const tensor of ofFrame)
          need(task, { ...frame, tensor, bytes: bytesOf(graph, [tensor]) }, task.node, null);
      else {
        const bytes = part.links.reduce((left, link) => left - link.bytes, part.bytes_in);
        need(task, { ...frame, tensor: ofFrame.join(' + '), bytes }, task.node, [stage, part.t_id]);
      }
    }
  });
  if (sink !== null)
    for (const maker of tasks.flat())
      for (const { tensor, box, bytes } of stages[maker.stage]!.parts[maker.t_id]!.out)
        if (answers.includes(tensor) && maker.node !== sink)
          need(null, { maker, from: maker.node, tensor, bytes: bytes * sent.share(maker.stage, tensor) }, sink, box);

  const busyMs = new Map<string, number>();
  const uploadBytes = new Map<string, number>();
  const add = (sums: Map<string, number>, name: string, value: number): void => {
    sums.set(name, (sums.get(name) ?? 0) + value);
  };
  for (const { node, ms } of tasks.flat()) add(busyMs, node, ms);
  for (const { from, to, bytes } of transfers.values()) {
    if (from === to) continue;
    const hop = hops(from, to);
    add(busyMs, from, hop.sender_ms);
    add(busyMs, to, hop.receiver_ms);
    add(uploadBytes, from, bytes);
    for (const leg of hop.legs) add(busyMs, `${leg.from} > ${leg.to}`, bytes / (leg.mbps * 125));
  }
  return { timeline: play(tasks.flat(), [...transfers.values()], hops), busyMs, uploadBytes };
}
