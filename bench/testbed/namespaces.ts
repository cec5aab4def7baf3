import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { TesseraError } from '../../shared/errors.ts';

const execute = promisify(execFile);

/** Bytes that a shaped link lets through at once, and that it lets wait. */
const BURST = '64kb';
const QUEUE = '1mb';
const BRIDGE = 'br0';

/**
 * Network namespaces of the emulated devices: each has one link, by a pair of virtual Ethernet devices, to a bridge in a
 * namespace of its own, the switch. Nothing outside of the namespaces is reached from them.
 */
export class Network {
  readonly #run: string;
  readonly #devices: string[] = [];

  private constructor(run: string) {
    this.#run = run;
  }

  /** Makes the switch; `run` begins the names of all namespaces. */
  static async open(run: string): Promise<Network> {
    const network = new Network(run);
    await ip('netns', 'add', network.#switch);
    await ip('-n', network.#switch, 'link', 'add', BRIDGE, 'type', 'bridge');
    await ip('-n', network.#switch, 'link', 'set', BRIDGE, 'up');
    return network;
  }

  get #switch(): string {
    return `${this.#run}-switch`;
  }

  /** Makes the namespace of a device and its link; `mbps` limits each direction. Returns its address. */
  async attach(device: string, mbps: number | undefined): Promise<string> {
    const space = this.namespace(device);
    const address = `10.77.0.${this.#devices.push(device)}`;
    await ip('netns', 'add', space);
    await ip('-n', space, 'link', 'set', 'lo', 'up');
    await ip(
      ...['-n', this.#switch, 'link', 'add', this.#port(device), 'type', 'veth'],
      ...['peer', 'name', 'eth0', 'netns', space],
    );
    await ip('-n', this.#switch, 'link', 'set', this.#port(device), 'master', BRIDGE, 'up');
    await ip('-n', space, 'address', 'add', `${address}/24`, 'dev', 'eth0');
    await ip('-n', space, 'link', 'set', 'eth0', 'up');
    if (mbps !== undefined) await this.rate(device, mbps);
    return address;
  }

  /** Limits both directions of a device's link, Mbit/s. */
  async rate(device: string, mbps: number): Promise<void> {
    for (const [space, port] of [
      [this.namespace(device), 'eth0'],
      [this.#switch, this.#port(device)],
    ] as const)
      await run('tc', [
        ...['-n', space, 'qdisc', 'replace', 'dev', port, 'root'],
        ...['tbf', 'rate', `${mbps}mbit`, 'burst', BURST, 'limit', QUEUE],
      ]);
  }

  /** Takes a device off the network, or puts it back. */
  async cut(device: string, isCut: boolean): Promise<void> {
    await ip('-n', this.#switch, 'link', 'set', this.#port(device), isCut ? 'down' : 'up');
  }

  /** The name of a device's namespace. */
  namespace(device: string): string {
    return `${this.#run}-${device}`;
  }

  #port(device: string): string {
    return `port${this.#devices.indexOf(device) + 1}`;
  }
}

/** Removes the namespaces whose names begin like this; the links in them go too. */
export async function removeNamespaces(prefix: string): Promise<void> {
  const names = (await namespaces()).filter((name) => name.startsWith(prefix));
  await Promise.all(names.map((name) => ip('netns', 'delete', name)));
}

/** The names of all network namespaces. */
export async function namespaces(): Promise<string[]> {
  const said = await ip('netns', 'list');
  return said
    .split('\n')
    .map((line) => line.split(' ')[0]!)
    .filter((name) => name !== '');
}

function ip(...args: string[]): Promise<string> {
  return run('ip', args);
}

async function run(command: string, args: readonly string[]): Promise<string> {
  try {
    return (await execute(command, args)).stdout;
  } catch (error) {
    const { code, stderr = '' } = error as { code?: unknown; stderr?: string };
    const why = code === 'ENOENT' ? `${command} is not installed` : stderr.trim() || String(error);
    throw new TesseraError('TESSERA_USAGE', `no emulated network: ${[command, ...args].join(' ')}: ${why}`, {
      hint: 'the testbed needs root on Linux, and ip and tc (Debian: apt install iproute2)',
      cause: error,
    });
  }
}
