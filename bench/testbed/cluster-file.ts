import { readText } from '../../shared/runtime/file.ts';
import { parseYaml } from '../../shared/runtime/yaml.ts';
import { parse, z } from '../../shared/schema.ts';

/** The file that describes an emulated cluster: `bench/testbed/*.yaml` are examples. */

const device = z.strictObject({
  /** CPU time per time; at least 0.01. */
  cores: z.number().min(0.01).max(64).default(0.15),
  /** Memory without swap, MB (10^6 bytes). */
  memory_mb: z.number().int().min(256).max(1_000_000).default(2000),
  /** Each direction of its link, Mbit/s; null: as fast as this machine. */
  mbps: z.number().positive().max(100_000).nullable().default(100),
});

const nodes = z.array(z.number().int().min(1).max(64)).min(1);
const event = z.discriminatedUnion('do', [
  /** Has its nodes compute with this share of their cores. */
  z.strictObject({ do: z.literal('slow'), frame: z.number().int().min(0), nodes, factor: z.number().gt(0).max(1) }),
  /** SIGSTOP: it neither answers nor leaves. */
  z.strictObject({ do: z.literal('stop'), frame: z.number().int().min(0), nodes }),
  /** SIGCONT, the link is up, and the speed and rate are those of the file. */
  z.strictObject({ do: z.literal('restore'), frame: z.number().int().min(0), nodes }),
  /** SIGKILL. */
  z.strictObject({ do: z.literal('kill'), frame: z.number().int().min(0), nodes }),
  /** Takes the link away. */
  z.strictObject({ do: z.literal('cut'), frame: z.number().int().min(0), nodes }),
  /** Limits the link, Mbit/s. */
  z.strictObject({ do: z.literal('throttle'), frame: z.number().int().min(0), nodes, mbps: z.number().positive() }),
]);

/** The description of an emulated cluster. */
export const clusterFile = z.strictObject({
  version: z.literal(1),
  /** Node agents, each on a device of its own: `node-1`, `node-2`, ... */
  nodes: z.number().int().min(1).max(64).default(8),
  /** What each of them has. */
  device: device.prefault({}),
  /** What the device of broker and central has. */
  base: device.prefault({ memory_mb: 4000 }),
  /** What happens before the frame of this number, counted from 0, is sent. */
  events: z.array(event).default([]),
});

/** An emulated cluster. */
export type ClusterFile = z.infer<typeof clusterFile>;
/** What an emulated device has. */
export type Device = z.infer<typeof device>;
/** Something that happens to nodes before a frame is sent. */
export type ClusterEvent = z.infer<typeof event>;

/** Reads a cluster's file. Throws TESSERA_CONFIG. */
export async function readClusterFile(path: string): Promise<ClusterFile> {
  return parse(clusterFile, parseYaml(await readText(path), path, 'TESSERA_CONFIG'), 'TESSERA_CONFIG', path);
}
