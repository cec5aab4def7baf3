import { CENTRAL, type Plan } from '../../shared/plan/plan.ts';
import type { MeasuredNode } from '../coordinator/measured.ts';
import { layersBetween } from '../planner/cost/stage-layers.ts';
import { bytesOf, type PlanningGraph } from '../planner/graph.ts';
import type { Link, PlanningNode } from '../planner/strategy.ts';
import { layersMs, type NodeTimes } from '../planner/times.ts';
import type { Link as LinkLine } from '../scheduler/statistics.ts';
import type { Fleet, Reading } from './fleet.ts';

/** A machine that can get work: a node agent, or central. Its times are those of a profile, if it was profiled. */
export interface KnownNode extends PlanningNode {
  readonly throttled: boolean;
}

/** What a machine was asked to measure while it had no work: the time of the test, and empty and full echoes. */
export interface Probe {
  /** Of the layers of the test, ms; absent where it could not be measured. */
  readonly ms?: number;
  /** Absent at central, and where it could not be measured. */
  readonly link?: LinkLine;
}

/** The problem's part that is measured. */
export interface Measurements {
  readonly nodes: readonly PlanningNode[];
  readonly links: readonly Link[];
}

/** Multiply-adds per ms of a machine that was not profiled, until it is measured: 1 GMAC/s. */
const MACS_PER_MS = 1e6;
/** Parts after which a machine's work is compared with the probe before it: the first ones meet cold caches. */
const WARM_UP = 10;
/**
 * A probe older than this, in units of `freshMs`, is not compared with work any more: the link or the machine may have
 * changed since, and that would be taken for a difference between probes and work for ever.
 */
const COMPARABLE = 3;
/** A machine that came less than this ago, ms, is expected to be measured soon. */
const COMING_MS = 10_000;
/** Least time of a byte, ms: a terabit per second, where messages cannot tell bytes from noise. */
const LEAST_MS_PER_BYTE = 8e-9;

const NEVER = Number.NEGATIVE_INFINITY;

interface Machine {
  known: KnownNode;
  /** When it came, ms. */
  readonly since: number;
  /** Those of the profile, else of a machine of 1 GMAC/s. */
  base: NodeTimes;
  parts: number;
  /** What was measured of its work at the last look. */
  said: string | undefined;
  /** When it last did a part, and when it was last probed, ms. */
  workedAt: number;
  probedAt: number;
  slowness: number | undefined;
  link: LinkLine | undefined;
  /** As the last echoes showed it. */
  echoed: LinkLine | undefined;
  memory: number;
  /** The slowness that the last probe showed. */
  probed: number | undefined;
  /** By how much work is slower than probes: other layers have other speeds, and messages of work wait for one another. */
  workFactor: number;
  linkFactor: number;
  /** Its parts at the last probe, until these factors were found again. */
  partsAtProbe: number | undefined;
}

/**
 * What is known of the machines for the plans of one model. A machine that works is measured by its work; any other one
 * by probes, corrected by what its work after an earlier probe took.
 */
export class LiveFleet {
  readonly #graph: PlanningGraph;
  readonly #test: readonly number[];
  readonly #freshMs: number;
  readonly #inputBytes: number;
  readonly #machines = new Map<string, Machine>();

  /** `test`: the layers (indices) whose time probes measure; `freshMs`: a machine whose work is this old is probed. */
  constructor(graph: PlanningGraph, test: readonly number[], freshMs: number) {
    this.#graph = graph;
    this.#freshMs = freshMs;
    this.#test = test;
    this.#inputBytes = bytesOf(graph, graph.inputs);
  }

  /** Takes what was measured until `at` (ms) by the work of the active plan, of the machines that are there. */
  measured(at: number, nodes: readonly KnownNode[], plan: Plan, work: ReadonlyMap<string, MeasuredNode>): void {
    for (const id of this.#machines.keys()) if (!nodes.some((node) => node.id === id)) this.#machines.delete(id);
    for (const known of nodes) {
      const machine = this.#machines.get(known.id) ?? this.#newMachine(known, at);
      if (known.times !== machine.known.times) this.#rebase(machine, known);
      this.#machines.set(known.id, machine);
      machine.known = known;
      const done = work.get(known.id);
      if (done === undefined) continue;
      machine.memory = done.memory;
      machine.parts = done.parts;
      // A node that does not answer in time has a lower speed, and no more parts.
      const said = JSON.stringify([done.speeds, done.message]);
      if (said === machine.said) continue;
      machine.said = said;
      const slowness = this.#slownessAt(machine, plan, done.speeds);
      // Work that says nothing of the speed or the link leaves them to probes.
      const link = linkOf(machine.echoed, done.message);
      if (slowness === undefined || (link === undefined && known.id !== CENTRAL)) continue;
      machine.slowness = slowness;
      machine.link = link;
      machine.workedAt = at;
      if (machine.partsAtProbe === undefined || done.parts - machine.partsAtProbe < WARM_UP) continue;
      machine.partsAtProbe = undefined;
      if (at - machine.probedAt > COMPARABLE * this.#freshMs) continue;
      if (machine.probed !== undefined) machine.workFactor = slowness / machine.probed;
      if (link !== undefined) machine.linkFactor = this.#hopMs(link) / this.#hopMs(machine.echoed!);
    }
  }

  #assumed(): NodeTimes {
    return {
      layer_ms: this.#graph.layers.map(({ macs }) => macs / MACS_PER_MS),
      runs: [],
      ratio: 1,
      error: null,
    };
  }

  #newMachine(known: KnownNode, since: number): Machine {
    const base = known.times ?? this.#assumed();
    const unknown = { slowness: undefined, link: undefined, echoed: undefined, memory: 1 };
    const probes = { probed: undefined, workFactor: 1, linkFactor: 1, partsAtProbe: undefined };
    return { known, since, base, parts: 0, said: undefined, workedAt: NEVER, probedAt: NEVER, ...unknown, ...probes };
  }

  /** A profile has come: what is expected of the machine is another time, and so its slowness another share of that. */
  #rebase(machine: Machine, known: KnownNode): void {
    const { id } = known;
    const before = { id, times: machine.base };
    machine.base = known.times ?? this.#assumed();
    const now = { id, times: machine.base };
    const ratio = (layers: readonly number[]): number => layersMs(before, layers) / layersMs(now, layers);
    const ofAll = ratio(this.#graph.layers.map((_, layer) => layer));
    const ofTest = ratio(this.#test);
    if (machine.slowness !== undefined) machine.slowness *= ofAll;
    if (machine.probed !== undefined) machine.probed *= ofTest;
    machine.workFactor *= ofAll / ofTest;
    machine.said = undefined;
  }

  #slownessAt({ known, base }: Machine, { stages }: Plan, speeds: readonly (number | undefined)[]): number | undefined {
    let [took, expected] = [0, 0];
    stages.forEach(({ inputs, outputs }, index) => {
      const speed = speeds[index];
      if (speed === undefined) return;
      const layers = layersBetween(this.#graph, inputs, outputs);
      const macs = layers.reduce((sum, layer) => sum + this.#graph.layers[layer]!.macs, 0);
      took += (1000 * macs) / speed;
      expected += layersMs({ id: known.id, times: base }, layers);
    });
    return took > 0 && expected > 0 ? took / expected : undefined;
  }

  /**
   * The machine to probe next at the time `at`, ms: of those without work, and of those that were never probed, the one
   * whose last probe is oldest.
   */
  toProbe(at: number): string | undefined {
    const idle = [...this.#machines].filter(
      ([, { workedAt, probedAt }]) =>
        probedAt === NEVER || (at - workedAt >= this.#freshMs && at - probedAt >= this.#freshMs),
    );
    return idle.sort(([, a], [, b]) => a.probedAt - b.probedAt)[0]?.[0];
  }

  /** A probe of a machine has ended; `probe` is empty where it failed. */
  probed(at: number, id: string, probe: Probe): void {
    const machine = this.#machines.get(id);
    if (machine === undefined) return;
    machine.probedAt = at;
    machine.partsAtProbe = machine.parts;
    const { known, base } = machine;
    if (probe.ms !== undefined) {
      machine.probed = probe.ms / layersMs({ id: known.id, times: base }, this.#test);
      machine.slowness = machine.workFactor * machine.probed;
    }
    if (probe.link !== undefined) {
      const { messageMs, msPerByte } = probe.link;
      machine.echoed = probe.link;
      machine.link = { messageMs: machine.linkFactor * messageMs, msPerByte: machine.linkFactor * msPerByte };
    }
  }

  /** Whether machines that came lately have yet to be measured at the time `at`, ms. */
  isComing(at: number): boolean {
    return [...this.#machines.values()].some(
      (machine) => at - machine.since < COMING_MS && readingOf(machine) === undefined,
    );
  }

  /** The way of the network's input, ms. */
  #hopMs({ messageMs, msPerByte }: LinkLine): number {
    return messageMs / 2 + msPerByte * this.#inputBytes;
  }

  /** The machines of which speed and link are known. */
  get fleet(): Fleet {
    return new Map(
      this.#complete().map(({ known: { id, throttled }, slowness, link, memory }): [string, Reading] => [
        id,
        { slowness, hop_ms: this.#hopMs(link), memory, throttled },
      ]),
    );
  }

  /**
   * The same machines with their times as they are now, and their links. Central stands where the broker is: what is
   * measured of a node's link is the way through the broker to central.
   */
  get measurements(): Measurements {
    const machines = this.#complete();
    return {
      nodes: machines.map(({ known: { throttled: _, ...known }, base, slowness, memory }) => ({
        ...known,
        memory_mb: known.memory_mb === null ? null : known.memory_mb * memory,
        times: slower(base, slowness),
      })),
      links: machines.flatMap(({ known: { id }, link: { messageMs, msPerByte } }) => {
        if (id === CENTRAL) return [];
        const way = { rtt_ms: messageMs / 2, mbps: 1 / (125 * Math.max(LEAST_MS_PER_BYTE, msPerByte)) };
        return [
          { from: CENTRAL, to: id, ...way },
          { from: id, to: CENTRAL, ...way },
        ];
      }),
    };
  }

  #complete() {
    return [...this.#machines.values()].flatMap((machine) => readingOf(machine) ?? []);
  }
}

/** A machine with its speed and link, where both are known. */
function readingOf({ known, base, memory, slowness, link }: Machine) {
  const way = known.id === CENTRAL ? { messageMs: 0, msPerByte: 0 } : link;
  return slowness === undefined || way === undefined ? undefined : { known, base, memory, slowness, link: way };
}

/**
 * A link of which messages take this long: as echoes showed it, in proportion. Messages of work have mostly one size, so
 * that alone they do not tell the time of their bytes.
 */
function linkOf(echoed: LinkLine | undefined, message: MeasuredNode['message']): LinkLine | undefined {
  if (echoed === undefined || message === undefined) return undefined;
  const factor = message.ms / (echoed.messageMs + message.bytes * echoed.msPerByte);
  return { messageMs: factor * echoed.messageMs, msPerByte: factor * echoed.msPerByte };
}

/** The times of a machine that is slower by a factor. */
function slower({ layer_ms, layer_variance, runs, ratio, error }: NodeTimes, factor: number): NodeTimes {
  return {
    layer_ms: layer_ms.map((ms) => ms * factor),
    ...(layer_variance === undefined ? {} : { layer_variance: layer_variance.map((v) => v * factor ** 2) }),
    runs: runs.map(({ ms, variance, ...run }) => ({
      ...run,
      ms: ms * factor,
      ...(variance === undefined ? {} : { variance: variance * factor ** 2 }),
    })),
    ratio,
    error,
  };
}
