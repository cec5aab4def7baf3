import type { CodecSpec } from '../../../shared/codec/spec.ts';
import type { SchedulablePlan } from '../../../shared/plan/compiled-plan.ts';
import { CENTRAL, TOPIC } from '../../../shared/plan/plan.ts';
import { bytesOf } from '../graph.ts';
import type { Problem } from '../strategy.ts';
import { hopsOf } from './hop.ts';
import type { Places } from './places.ts';
import type { Sent } from './sent.ts';
import type { StageTimes } from './stage-times.ts';
import { TensorWork } from './tensor-work.ts';
import { bytesIn, play, type Task, type Timeline, type Transfer } from './timeline.ts';

/** One frame's way, and what it costs machines and links. */
export interface Turn {
  readonly timeline: Timeline;
  /** By machine, and by link. */
  readonly busyMs: ReadonlyMap<string, number>;
  readonly uploadBytes: ReadonlyMap<string, number>;
}

interface OpenTask extends Task {
  ms: number;
}

interface OpenTransfer extends Transfer {
  readonly maker: OpenTask | null;
  readonly regions: { tensor: string; bytes: number }[];
  readonly readers: OpenTask[];
  data_ms: number;
}

/** What sends something; the frame is sent to a machine at once for each stage. */
interface Sender {
  readonly maker: OpenTask | null;
  readonly node: string;
  readonly occasion?: number;
}

/** A region; one of the same tensor and box is sent once to each machine. */
interface Needed {
  readonly tensor: string;
  readonly box?: unknown;
  /** As sent. */
  readonly bytes: number;
  /** Of its values. */
  readonly values: number;
  readonly codec: CodecSpec['name'];
}

/** Central's own work for a frame that arrives somewhere. */
function frameWork({ frame, sink }: Problem, origin: string): NonNullable<Problem['frame']> {
  return {
    open_ms: origin === CENTRAL ? (frame?.open_ms ?? 0) : 0,
    finish_ms: sink === CENTRAL ? (frame?.finish_ms ?? 0) : 0,
  };
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
  const work = new TensorWork(problem);
  const tasks = stages.map(({ parts }, stage) =>
    parts.map((part): OpenTask => {
      const node = places[stage]![part.t_id]!;
      const { ms, variance } = times.partTime(stage, part, node);
      return { stage, t_id: part.t_id, node, ms: ms + work.partMs(node), variance };
    }),
  );
  const transfers = new Map<string, OpenTransfer>();
  const carriers = new Map<string, OpenTransfer>();
  const need = (reader: OpenTask | null, from: Sender, region: Needed, to: string): void => {
    const { tensor, box, bytes } = region;
    const { maker, node, occasion } = from;
    const name = JSON.stringify([maker?.stage, maker?.t_id, tensor, box, to]);
    let carrier = carriers.get(name);
    if (carrier === undefined) {
      const key = JSON.stringify([maker?.stage, maker?.t_id, occasion, to]);
      carrier = transfers.get(key) ?? { maker, from: node, to, regions: [], readers: [], data_ms: 0 };
      transfers.set(key, carrier);
      carriers.set(name, carrier);
      carrier.regions.push({ tensor, bytes });
      if (maker !== null) maker.ms += work.encodeMs(region, node, to);
      carrier.data_ms += work.dataMs(region, { from: node, to, isFrame: maker === null, isAnswer: reader === null });
    }
    if (reader === null) return;
    reader.ms += work.decodeMs(region, node, to);
    if (!carrier.readers.includes(reader)) carrier.readers.push(reader);
  };
  const origin = plan.source === TOPIC ? (broker ?? source) : source;
  const madeBy = new Set(plan.stages.flatMap(({ outputs }) => outputs));
  const made = (stage: number, { tensor, box, bytes }: Pick<Needed, 'tensor' | 'box' | 'bytes'>): Needed => {
    const values = bytes * sent.values(stage, tensor);
    return { tensor, box, bytes: bytes * sent.share(stage, tensor), values, codec: sent.codec(tensor).name };
  };
  const ofFrameRegion = (tensor: string, bytes: number, box?: unknown): Needed => {
    return { tensor, box, bytes, values: bytes, codec: 'raw' };
  };
  plan.stages.forEach(({ inputs, split }, stage) => {
    const ofFrame = inputs.filter((tensor) => !madeBy.has(tensor));
    for (const part of stages[stage]!.parts) {
      const task = tasks[stage]![part.t_id]!;
      for (const { stage: from, t_id, tensor, box, bytes } of part.links) {
        const maker = tasks[from]![t_id]!;
        need(task, { maker, node: maker.node }, made(from, { tensor, box, bytes }), task.node);
      }
      if (!part.reads_frame) continue;
      const frame = { maker: null, node: origin, occasion: stage };
      // A node that reads the camera's topic gets the whole frame; a whole stage gets a tensor once.
      if (plan.source === TOPIC && problem.picture !== undefined)
        need(task, frame, ofFrameRegion('the picture', problem.picture.bytes), task.node);
      else if (split.kind === 'whole' || plan.source === TOPIC)
        for (const tensor of ofFrame) need(task, frame, ofFrameRegion(tensor, bytesOf(graph, [tensor])), task.node);
      else {
        const bytes = part.links.reduce((left, link) => left - link.bytes, part.bytes_in);
        need(task, frame, ofFrameRegion(ofFrame.join(' + '), bytes, [stage, part.t_id]), task.node);
      }
    }
  });
  if (sink !== null)
    for (const maker of tasks.flat())
      for (const { tensor, box, bytes } of stages[maker.stage]!.parts[maker.t_id]!.out)
        if (answers.includes(tensor) && (maker.node !== sink || work.isKnown))
          need(null, { maker, node: maker.node }, made(maker.stage, { tensor, box, bytes }), sink);

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
  const { open_ms, finish_ms } = frameWork(problem, origin);
  for (const { data_ms } of transfers.values()) add(busyMs, CENTRAL, data_ms);
  add(busyMs, CENTRAL, open_ms + finish_ms);
  const timeline = play(tasks.flat(), [...transfers.values()], hops, open_ms);
  const end = { ...timeline.end, ms: timeline.end.ms + finish_ms };
  return { timeline: { ...timeline, end }, busyMs, uploadBytes };
}
