import { rm } from 'node:fs/promises';
import type { FleetNode, MeasuredCodecs, MeasuredLink, MeasuredTime } from '../../central/planner/profile/assemble.ts';
import { TesseraError } from '../../shared/errors.ts';
import { readText } from '../../shared/runtime/file.ts';
import { writeOutput } from '../../shared/runtime/whole-file.ts';
import { z } from '../../shared/schema.ts';
import { systemCodeOf } from '../../shared/storage-fault.ts';

const amount = z.number().nonnegative();
const index = z.number().int().nonnegative();

const kept = z.object({
  format: z.literal('tessera-measurements/1'),
  sha256: z.string(),
  repeats: index,
  /** What each node was when it was measured. */
  nodes: z.record(z.string(), z.string()),
  /** Nodes that have searched their fastest settings. */
  tuned: z.array(z.string()),
  times: z.array(
    z.object({
      node: z.string(),
      blocks: z.tuple([index, index]),
      ms: amount,
      p10_ms: amount,
      p90_ms: amount,
      repeats: index,
      others: index,
    }),
  ),
  codecs: z.array(
    z.object({
      node: z.string(),
      part_ms: amount,
      codecs: z.array(z.object({ name: z.string(), encode_ms: amount, decode_ms: amount })),
    }),
  ),
  links: z.array(
    z.object({ from: z.string(), to: z.string(), empty_ms: amount, mbps: z.number().positive(), message_ms: amount }),
  ),
});
type Kept = z.infer<typeof kept>;

/** The measurements are written at most once in this time, ms: a large network has thousands. */
const SAVE_MS = 5000;

/** What identifies a node's times: a node that changed is measured again. */
export function nodeKey({ hardware, runtime, threads, memory_mb }: FleetNode): string {
  return JSON.stringify([hardware, runtime, threads, memory_mb]);
}

/** What was measured so far, in a file beside the profile, until the profile is complete. */
export class KeptMeasurements {
  readonly path: string;
  readonly #content: Kept;
  #savedAt = performance.now();
  #saving: Promise<void> = Promise.resolve();

  constructor(path: string, content: Kept) {
    this.path = path;
    this.#content = content;
  }

  get times(): readonly MeasuredTime[] {
    return this.#content.times;
  }

  get codecs(): readonly MeasuredCodecs[] {
    return this.#content.codecs;
  }

  get links(): readonly MeasuredLink[] {
    return this.#content.links;
  }

  /** Forgets measurements of nodes that are not what they were then. */
  forgetChanged(nodes: readonly FleetNode[]): void {
    for (const node of nodes) {
      const key = nodeKey(node);
      if (this.#content.nodes[node.id] !== key) this.forget(node.id);
      this.#content.nodes[node.id] = key;
    }
  }

  /** Forgets what was measured of a node. */
  forget(node: string): void {
    this.#content.times = this.#content.times.filter((time) => time.node !== node);
    this.#content.codecs = this.#content.codecs.filter((codecs) => codecs.node !== node);
    this.#content.links = this.#content.links.filter(({ from, to }) => from !== node && to !== node);
  }

  isTuned(node: string): boolean {
    return this.#content.tuned.includes(node);
  }

  setTuned(node: string): void {
    this.#content.tuned.push(node);
  }

  addTime({ blocks: [first, last], ...time }: MeasuredTime): void {
    this.#content.times.push({ ...time, blocks: [first, last] });
    this.#saveSometimes();
  }

  addCodecs(codecs: MeasuredCodecs): void {
    this.#content.codecs.push({ ...codecs, codecs: [...codecs.codecs] });
    this.#saveSometimes();
  }

  addLink(link: MeasuredLink): void {
    this.#content.links.push(link);
    this.#saveSometimes();
  }

  /** Writes the file, where anything was measured. Throws TESSERA_STORAGE. */
  async save(): Promise<void> {
    await this.#saving.catch(() => {});
    if (this.times.length + this.codecs.length + this.links.length === 0) return;
    await writeOutput({ what: 'the measurements so far', path: this.path }, JSON.stringify(this.#content));
  }

  /** The profile is complete. */
  async remove(): Promise<void> {
    await this.#saving.catch(() => {});
    await rm(this.path, { force: true });
  }

  /** A failure shows at the last save, which is awaited. */
  #saveSometimes(): void {
    if (performance.now() - this.#savedAt < SAVE_MS) return;
    this.#savedAt = performance.now();
    this.#saving = this.save().catch(() => {});
  }
}

/**
 * The measurements of an interrupted run, or none yet. Throws TESSERA_USAGE where the file is of another network or of
 * other repeats.
 */
export async function keptIn(path: string, sha256: string, repeats: number): Promise<KeptMeasurements> {
  let text: string;
  try {
    text = await readText(path);
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
    const format = 'tessera-measurements/1';
    return new KeptMeasurements(path, {
      format,
      sha256,
      repeats,
      nodes: {},
      tuned: [],
      times: [],
      codecs: [],
      links: [],
    });
  }
  const read = kept.safeParse(jsonOf(text));
  if (read.success && read.data.sha256 === sha256 && read.data.repeats === repeats)
    return new KeptMeasurements(path, read.data);
  const what = read.success ? 'keeps measurements of another network, or with other repeats' : 'is no such file';
  throw new TesseraError('TESSERA_USAGE', `${path}, where an interrupted run keeps its measurements, ${what}`, {
    hint: 'remove it to measure anew, or name another --out',
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
