import { arch, cpus, type as osType, release } from 'node:os';
import { codecNames } from '../shared/codec/codecs.ts';
import type { Tier } from '../shared/plan/plan.ts';
import type { NodeInfo } from '../shared/protocol/messages/node.ts';
import { PART_LIMIT_BYTES } from '../shared/protocol/parts.ts';
import { WIRE_VERSION } from '../shared/protocol/topics.ts';
import { machineLimits } from '../shared/runtime/machine-limits.ts';
import { runtimeVersion } from '../shared/runtime/ort.ts';
import { packageVersion } from '../shared/runtime/version.ts';
import { firstLine } from './identity.ts';

/** The properties of a node that do not change while it runs. */
export type StaticInfo = Omit<NodeInfo, 'session' | 'models'>;

/** Reads the properties of this machine. */
export async function describeNode(options: {
  id: string;
  bootId: string;
  tier: Tier;
  /** Of one inference run. */
  threads: number;
  sessionMemoryMb: number;
  /** Most bytes of regions that are kept for later parts. */
  regionBytes: number;
}): Promise<StaticInfo> {
  const board = await firstLine('/proc/device-tree/model');
  const processors = cpus();
  const { cores, memoryBytes } = machineLimits();
  return {
    v: 1,
    id: options.id,
    boot_id: options.bootId,
    version: packageVersion(),
    wire: [WIRE_VERSION, WIRE_VERSION],
    tier: options.tier,
    hardware: board ?? processors[0]?.model.trim() ?? 'unknown',
    arch: arch(),
    os: `${osType()} ${release()}`,
    cores,
    threads: options.threads,
    memory_mb: Math.round(memoryBytes / 1e6),
    runtime: runtimeVersion,
    codecs: codecNames(),
    splits: ['whole', 'tiles', 'channels'],
    features: ['regions', 'frames', 'measure'],
    max_message: PART_LIMIT_BYTES,
    session_memory_mb: options.sessionMemoryMb,
    region_memory_mb: Math.floor(options.regionBytes / 1e6),
  };
}
