import { type Check, checksOf } from './check.ts';

/** What became of a piece of native code that was tried in a process of its own. */
export type Trial =
  | { readonly kind: 'ok'; readonly said: string }
  | { readonly kind: 'failed'; readonly said: string }
  /** The process ended without an answer. */
  | { readonly kind: 'crashed'; readonly signal: string | null; readonly code: number | null; readonly stderr: string }
  | { readonly kind: 'silent'; readonly seconds: number };

/** Facts of this machine. Memory in MB (10^6 bytes), times in Unix seconds. */
export interface MachineFacts {
  readonly node: string;
  /** As in package.json: `>=20.17`. */
  readonly wantedNode: string;
  readonly platform: string;
  readonly arch: string;
  /** Version of glibc on Linux; undefined for another C library or system. */
  readonly glibc: string | undefined;
  readonly onnxruntime: Trial;
  readonly sharp: Trial;
  readonly memoryMb: number;
  readonly availableMb: number;
  /** Whether `memoryMb` is what a control group leaves, less than the machine has. */
  readonly memoryIsLimited: boolean;
  /** Threads that can compute at a time, and processors of the machine. */
  readonly cores: number;
  readonly processors: number;
  readonly now: number;
  /** Whether the clock follows a time server; undefined where the system does not report it. */
  readonly synchronised: boolean | undefined;
}

/** Systems that ONNX Runtime's npm package is built for. */
const RUNTIMES = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64', 'win32-x64', 'win32-arm64'];
/** 1 January 2025: no release is older, so an earlier clock is the start value of a board without a battery. */
const EARLIEST = 1_735_689_600;
/** Below the first an agent cannot load a network of any size, below the second it is tight. */
const MEMORY_MB = { least: 150, enough: 400 };

const { ok, warn, fail } = checksOf('machine');

/** Judges a machine by itself. */
export function judgeMachine(facts: MachineFacts): Check[] {
  return [
    judgeNode(facts),
    judgeSystem(facts),
    ...judgeTrials(facts),
    judgeMemory(facts),
    ...judgeCores(facts),
    judgeClock(facts),
  ];
}

/** Whether a version (`20.17.0`) satisfies `>=20.17`. */
export function isAtLeast(version: string, wanted: string): boolean {
  const numbers = (text: string): number[] => (text.match(/\d+/g) ?? []).map(Number);
  const [have, want] = [numbers(version), numbers(wanted)];
  for (const [k, least] of want.entries()) if ((have[k] ?? 0) !== least) return (have[k] ?? 0) > least;
  return true;
}

function judgeNode({ node, wantedNode }: MachineFacts): Check {
  const least = wantedNode.replace('>=', '');
  if (isAtLeast(node, wantedNode)) return ok('node', `Node.js ${node}`);
  return fail('node', `Node.js ${node} is older than ${least}`, `install Node.js ${least} or newer (nodejs.org)`);
}

function judgeSystem({ platform, arch, glibc }: MachineFacts): Check {
  const system = `${platform}-${arch}`;
  if (arch === 'arm' || arch === 'ia32')
    return fail(
      'system',
      `${system} is a 32-bit system, for which there is no ONNX Runtime`,
      'install a 64-bit system; a Raspberry Pi 3, 4, 5 or Zero 2 runs the 64-bit Raspberry Pi OS',
    );
  if (!RUNTIMES.includes(system))
    return fail('system', `ONNX Runtime is not built for ${system}`, `use one of ${RUNTIMES.join(', ')}`);
  if (platform === 'linux' && glibc === undefined)
    return fail(
      'system',
      'the C library is not glibc (Alpine has musl), for which there is no ONNX Runtime',
      'use a Debian, Ubuntu or Raspberry Pi OS system or container image, such as node:20-slim',
    );
  return ok('system', glibc === undefined ? system : `${system}, glibc ${glibc}`);
}

function judgeTrials({ onnxruntime, sharp }: MachineFacts): Check[] {
  return [
    judgeTrial('onnx runtime', 'ONNX Runtime', 'nodes cannot compute here', onnxruntime),
    judgeTrial('pictures', 'the picture decoder (sharp)', 'central cannot decode frames here', sharp),
  ];
}

function judgeTrial(name: string, what: string, then: string, trial: Trial): Check {
  const again = '`npm ci` in the folder of this package installs it for this system';
  switch (trial.kind) {
    case 'ok':
      return ok(name, trial.said);
    case 'failed':
      return fail(name, `${what} does not work, so ${then}: ${trial.said}`, fixForLoading(trial.said) ?? again);
    case 'silent':
      return fail(name, `${what} gave no answer within ${trial.seconds} s`, 'the machine may be overloaded: try again');
    case 'crashed': {
      const { signal, code, stderr } = trial;
      const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
      const words = stderr.trim().split('\n').at(-1) ?? '';
      const text = `${what} ended its process ${how}, so ${then}${words === '' ? '' : `: ${words.slice(0, 200)}`}`;
      if (signal === 'SIGILL')
        return fail(name, text, 'this processor lacks an instruction that it needs: the machine cannot be a node');
      if (signal === 'SIGKILL')
        return fail(name, text, 'the system killed it for lack of memory: free some, or add swap');
      return fail(name, text, again);
    }
  }
}

/** The fix for a native module that does not load, by the loader's message. */
function fixForLoading(said: string): string | undefined {
  const glibc = /GLIBC(?:XX)?_[\d.]+/.exec(said)?.[0];
  if (glibc !== undefined) return `the system is too old (it lacks ${glibc}): Debian 12, Ubuntu 22.04 or newer has it`;
  if (/wrong ELF class|Exec format|invalid ELF|incompatible architecture/i.test(said))
    return 'the package was installed on another kind of machine: run `npm ci` on this one';
  return undefined;
}

function judgeMemory({ memoryMb, availableMb, memoryIsLimited }: MachineFacts): Check {
  const limited = memoryIsLimited ? ' (limited by the control group)' : '';
  const text = `${Math.round(availableMb)} of ${Math.round(memoryMb)} MB are available${limited}`;
  const fix = memoryIsLimited
    ? 'raise the limit (MemoryMax= of the service, --memory of the container), or lower node.memory_mb'
    : 'end programs (a desktop, a browser), or lower node.memory_mb';
  if (availableMb < MEMORY_MB.least) return fail('memory', text, fix);
  return availableMb < MEMORY_MB.enough ? warn('memory', text, fix) : ok('memory', text);
}

/** Reports the number of cores only where a quota lowers it. */
function judgeCores({ cores, processors }: MachineFacts): Check[] {
  return cores < processors ? [ok('cores', `${cores} of ${processors}, by the quota of the control group`)] : [];
}

function judgeClock({ now, synchronised }: MachineFacts): Check {
  const shown = new Date(now * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
  const fix = '`timedatectl set-ntp true` sets it from the network; certificates and the times of results depend on it';
  if (now < EARLIEST) return fail('clock', `the clock says ${shown}, which is in the past`, fix);
  if (synchronised === false) return warn('clock', `the clock says ${shown}, and follows no time server yet`, fix);
  return ok('clock', shown);
}
