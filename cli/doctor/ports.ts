import { type Check, checksOf } from './check.ts';

/** What answers at a port: nothing, a broker that refuses MQTT 5 as ours does, one that takes it, or something else. */
export type Speaker = 'nobody' | 'mqtt-3' | 'mqtt-5' | 'other';

/** An address that `tessera broker` would listen on. */
export interface PortFacts {
  readonly address: string;
  readonly host: string;
  readonly port: number;
  readonly speaker: Speaker;
  /** Who has it, where this user may see that: process id and command line. */
  readonly owner: { readonly pid: number; readonly command: string } | undefined;
}

const { ok, warn } = checksOf('ports');

/**
 * Judges who has the broker's ports; `serverPort` is that of the broker that this machine uses, if it is on this
 * machine.
 */
export function judgePorts(facts: readonly PortFacts[], serverPort: number | undefined): Check[] {
  return facts.map((port) => judgePort(port, serverPort));
}

function judgePort({ address, port, speaker, owner }: PortFacts, serverPort: number | undefined): Check {
  const name = `port ${port}`;
  if (speaker === 'nobody') return ok(name, `${address} is free for \`tessera broker\``);
  const who = owner === undefined ? undefined : `${programOf(owner.command)} (process ${owner.pid})`;
  if (owner !== undefined && isOurs(owner.command)) return ok(name, `${address} is served by ${who}`);
  if (speaker === 'other')
    return warn(
      name,
      `${address} is taken by ${who ?? 'a program of another user'}, which does not speak MQTT`,
      `end that program, or listen elsewhere: \`tessera broker --listen 127.0.0.1:${port + 1}\``,
    );
  const guess = speaker === 'mqtt-5' ? 'another MQTT broker' : 'an MQTT 3.1.1 broker, as the built-in one is';
  const text = `${address} is served by ${who ?? guess}`;
  if (serverPort === port || (speaker === 'mqtt-3' && who === undefined)) return ok(name, text);
  return warn(
    name,
    `${text}, so \`tessera broker\` cannot listen there`,
    `use it (\`--broker mqtt://127.0.0.1:${port}\`), end it, or listen elsewhere with \`--listen\``,
  );
}

const isOurs = (command: string): boolean => /\bcli\/main\.[jt]s\b|(^|\/|\s)tessera\s/.test(command);

/** The program of a command line, and which of ours it is. */
function programOf(command: string): string {
  const ours = /(?:cli\/main\.[jt]s|(?:^|\/)tessera)\s+(\w+)/.exec(command)?.[1];
  return ours === undefined ? (command.split(' ')[0]!.split('/').at(-1) ?? command) : `tessera ${ours}`;
}
