import { machineLimits } from '../shared/runtime/machine-limits.ts';

/** What `auto` means on this machine. */
export interface MachineDefaults {
  /** One a core. */
  readonly threads: number;
  /** A quarter of the memory, in MB (10^6 bytes): the rest is for the system, frames and buffers. */
  readonly memoryMb: number;
}

/** What `auto` means on this machine, or in the part of it that a control group leaves. */
export function machineDefaults(): MachineDefaults {
  const { cores, memoryBytes } = machineLimits();
  return { threads: cores, memoryMb: Math.max(64, Math.floor(memoryBytes / 4e6)) };
}
