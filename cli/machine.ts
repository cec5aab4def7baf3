import { availableParallelism, totalmem } from 'node:os';

/** What `auto` means on this machine. */
export interface MachineDefaults {
  /** One a core. */
  readonly threads: number;
  /** A quarter of the memory, in MB (10^6 bytes): the rest is for the system, frames and buffers. */
  readonly memoryMb: number;
}

/** What `auto` means on this machine. */
export function machineDefaults(): MachineDefaults {
  return { threads: availableParallelism(), memoryMb: Math.max(64, Math.floor(totalmem() / 4e6)) };
}
