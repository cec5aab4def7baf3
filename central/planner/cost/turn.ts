import type { SchedulablePlan } from '../../../shared/plan/compiled-plan.ts';
import { TOPIC } from '../../../shared/plan/plan.ts';
import { bytesOf } from '../graph.ts';
import type { Problem } from '../strategy.ts';
import { hopsOf } from './hop.ts';
import type { Places } from './places.ts';
import type { Sent } from './sent.ts';
import type { StageTimes } from './stage-times.ts';
import { bytesIn, play, type Task, type Timeline, type Transfer } from './timeline.ts';

/** One frame's way, and what it costs machines and links. */
export interface Turn {
  readonly timeline: Timeline;
  /** By machine, and by link. */
  readonly busyMs: ReadonlyMap<string, number>;
  readonly uploadBytes: ReadonlyMap<string, number>;
}

interface OpenTransfer extends Transfer {
  readonly regions: { tensor: string; bytes: number }[];
  readonly readers: Task[];
}

/** What sends something; the frame is sent to a machine at once for each stage. */
interface Sender {
  readonly maker: Task | null;
  readonly node: string;
  readonly occasion?: number;
}

/** A region; one of the same tensor and box is sent once to each machine. */
interface Needed {
  readonly tensor: string;
  readonly box?: unknown;
  readonly bytes: number;
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
  const transfers = new Map<string, OpenTransfer>();
  const carriers = new Map<string, OpenTransfer>();
  const need = (reader: Task | null, from: Sender, { tensor, box, bytes }: Needed, to: string): void => {
    const { maker, node, occasion } = from;
    const name = JSON.stringify([maker?.stage, maker?.t_id, tensor, box, to]);
    let carrier = carriers.get(name);
    if (carrier === undefined) {
      const key = JSON.stringify([maker?.stage, maker?.t_id, occasion, to]);
      carrier = transfers.get(key) ?? { maker, from: node, to, regions: [], readers: [] };
      transfers.set(key, carrier);
      carriers.set(name, carrier);
      carrier.regions.push({ tensor, bytes });
    }
    if (reader !== null && !carrier.readers.includes(reader)) carrier.readers.push(reader);
  };
  const origin = plan.source === TOPIC ? (broker ?? source) : source;
  const made = new Set(plan.stages.flatMap(({ outputs }) => outputs));
  plan.stages.forEach(({ inputs, split }, stage) => {
    const ofFrame = inputs.filter((tensor) => !made.has(tensor));
    for (const part of stages[stage]!.parts) {
      const task = tasks[stage]![part.t_id]!;
      for (const { stage: from, t_id, tensor, box, bytes } of part.links) {
        const maker = tasks[from]![t_id]!;
        need(task, { maker, node: maker.node }, { tensor, box, bytes: bytes * sent.share(from, tensor) }, task.node);
      }
      if (!part.reads_frame) continue;
      const frame = { maker: null, node: origin, occasion: stage };
      // A node that reads the camera's topic gets the whole frame; a whole stage gets a tensor once.
      if (plan.source === TOPIC && problem.picture !== undefined)
        need(task, frame, { tensor: 'the picture', bytes: problem.picture.bytes }, task.node);
      else if (split.kind === 'whole' || plan.source === TOPIC)
        for (const tensor of ofFrame) need(task, frame, { tensor, bytes: bytesOf(graph, [tensor]) }, task.node);
      else {
        const bytes = part.links.reduce((left, link) => left - link.bytes, part.bytes_in);
        need(task, frame, { tensor: ofFrame.join(' + '), box: [stage, part.t_id], bytes }, task.node);
      }
    }
  });
  if (sink !== null)
    for (const maker of tasks.flat())
      for (const { tensor, box, bytes } of stages[maker.stage]!.parts[maker.t_id]!.out)
        if (answers.includes(tensor) && maker.node !== sink)
          need(
            null,
            { maker, node: maker.node },
            { tensor, box, bytes: bytes * sent.share(maker.stage, tensor) },
            sink,
          );

  const busyMs = new Map<string, number>();
  const uploadBytes = new Map<string, number>();
  const add = (sums: Map<string, number>, name: string, value: number): void => {
    sums.set(name, (sums.get(name) ?? 0) + value);
  };
  for (const { node, ms } of tasks.flat()) add(busyMs, node, ms);
  for (const transfer of transfers.values()) {
    const { from, to } = transfer;
    if (from === to) continue;
    const bytes = bytesIn(transfer);
    const hop = hops(from, to);
    add(busyMs, from, hop.sender_ms);
    add(busyMs, to, hop.receiver_ms);
    add(uploadBytes, from, bytes);
    for (const leg of hop.legs) add(busyMs, `${leg.from} > ${leg.to}`, bytes / (leg.mbps * 125));
  }
  return { timeline: play(tasks.flat(), [...transfers.values()], hops), busyMs, uploadBytes };
}
