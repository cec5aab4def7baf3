import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startMosquitto } from '../../bench/testbed/mosquitto.ts';
import { startBroker } from '../../broker/broker.ts';
import { mosquittoAcl, mosquittoPassword } from '../../broker/mosquitto.ts';
import { type Identity, userName } from '../../broker/policy.ts';
import { silentLog } from '../../shared/ports.ts';

/** A user of a broker. */
export type User = Extract<Identity, { name: string }>;

/** The password of every user. */
export const PASSWORD = 'right';

/** A broker that enforces the rules of access. */
export interface GuardedBroker {
  readonly url: string;
  /** How a client connects that may do everything. */
  readonly superuser: { readonly user?: string; readonly password?: string };
  stop(): Promise<unknown>;
}

/** A kind of broker that enforces the rules of access. */
export interface GuardedKind {
  readonly name: string;
  /** Starts one for these users; undefined where it is not installed. */
  start(users: readonly User[]): Promise<GuardedBroker | undefined>;
}

const embedded: GuardedKind = {
  name: 'the embedded broker',
  async start(users) {
    const known = new Map(users.map((who) => [userName(who.role, who.name), who]));
    const verify = (user: string, password: string) => (password === PASSWORD ? known.get(user) : undefined);
    const listen = ['mqtt://127.0.0.1:0'];
    const broker = await startBroker({ listen, anonymous: 'loopback', credentials: { verify }, log: silentLog });
    return { url: broker.urls[0]!, stop: () => broker.stop(), superuser: {} };
  },
};

const mosquitto: GuardedKind = {
  name: 'Mosquitto with the rules of `tessera acl`',
  async start(users) {
    const folder = await mkdtemp(join(tmpdir(), 'tessera-acl-'));
    const [acl, passwords] = [join(folder, 'acl'), join(folder, 'passwords')];
    // The superuser is no user of Tessera.
    await writeFile(acl, [...mosquittoAcl(users), '', 'user observer', 'topic readwrite #', ''].join('\n'));
    const names = [...users.map(({ role, name }) => userName(role, name)), 'observer'];
    await writeFile(passwords, names.map((user) => `${mosquittoPassword(user, PASSWORD)}\n`).join(''));
    const extra = ['allow_anonymous false', `acl_file ${acl}`, `password_file ${passwords}`];
    const running = await startMosquitto({ extra });
    if (running === undefined) return undefined;
    const stop = async () => {
      await running.stop();
      await rm(folder, { recursive: true });
    };
    return { url: running.url, stop, superuser: { user: 'observer', password: PASSWORD } };
  },
};

/** The brokers that enforce the rules of access. */
export const GUARDED_BROKERS: readonly GuardedKind[] = [embedded, mosquitto];
