import { readBytes } from './file.ts';

/** Clock ticks of /proc a second; Linux has the same for every program, whatever the kernel's own. */
const TICKS = 100;

/** CPU time of another process so far, ms; undefined where the system does not tell, or the process has ended. */
export async function processCpuMs(pid: number): Promise<number | undefined> {
  const text = await readBytes(`/proc/${pid}/stat`).then(String, () => '');
  // The second field is the program's name in parentheses, and may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isFinite(ticks) ? (ticks * 1000) / TICKS : undefined;
}
