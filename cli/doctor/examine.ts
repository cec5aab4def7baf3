import type { Setting } from '../../shared/config/layers.ts';
import { failureOf } from '../../shared/errors.ts';
import { isLoopback } from '../../shared/loopback.ts';
import { silentLog } from '../../shared/ports.ts';
import type { LoadedConfig } from '../../shared/runtime/config.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { stateDirectory } from '../../shared/runtime/state-directory.ts';
import { type WayIn, wayIn } from '../membership.ts';
import { judgeBroker } from './broker.ts';
import type { Check } from './check.ts';
import { judgeConfiguration } from './configuration.ts';
import { lookAtBroker } from './look-at-broker.ts';
import { type ConfigurationLook, lookAtConfiguration } from './look-at-configuration.ts';
import { lookAtMachine } from './look-at-machine.ts';
import { lookAtNodes } from './look-at-nodes.ts';
import { lookAtPorts } from './look-at-ports.ts';
import { lookAtState } from './look-at-state.ts';
import { judgeMachine } from './machine.ts';
import { judgeNodes } from './nodes.ts';
import { judgePorts } from './ports.ts';
import { judgeState } from './state.ts';

/** What an examination needs. */
export interface Examination {
  /** Loads the configuration; throws TesseraError where it is wrong. */
  readonly load: () => Promise<LoadedConfig>;
  /** What flags say, which counts also where the rest of the configuration is wrong. */
  readonly flags: readonly Setting[];
  /** This machine only. */
  readonly local: boolean;
  readonly signal: AbortSignal;
}

/** Looks at everything and judges it; expected faults are findings, never exceptions. */
export async function examine({ load, flags, local, signal }: Examination): Promise<Check[]> {
  const look = await lookAtConfiguration(load, flags);
  const { config } = look.loaded;
  const server = new URL(config.mqtt.server);
  const serverPort = isLoopback(server.hostname) ? Number(server.port) || 1883 : undefined;
  return [
    ...judgeMachine(await lookAtMachine()),
    ...judgeState(await lookAtState(stateDirectory())),
    ...judgeConfiguration(look.facts),
    ...judgePorts(await lookAtPorts(config.broker.listen), serverPort),
    ...(local ? [] : await examineDeployment(look, signal)),
  ];
}

async function examineDeployment({ loaded }: ConfigurationLook, signal: AbortSignal): Promise<Check[]> {
  const { mqtt, node } = loaded.config;
  const id = node.id === 'auto' ? undefined : node.id;
  let way: WayIn | undefined;
  try {
    // As an agent here would connect: a machine that joined needs no configuration.
    way = await wayIn(undefined, { loaded, id, stateDir: stateDirectory(), log: silentLog, signal });
  } catch (error) {
    const { message, hint = 'correct the file that it names' } = failureOf(error);
    return [{ area: 'broker', name: 'broker', status: 'fail', text: message, fix: hint }];
  }
  if (way === undefined) return [];
  const { base } = way;
  const { maximumPacketBytes: _, ...bus } = way.bus;
  const configured = loaded.origins.get('mqtt.server') !== 'default' || bus.url !== mqtt.server;
  const connection = { ...bus, log: silentLog };
  const facts = await lookAtBroker({ connection, base, configured, maximumPacketBytes: mqtt.maximum_packet_size });
  const checks = judgeBroker(facts);
  if ('code' in facts.connection) return checks;
  try {
    const clientId = `tessera-doctor-nodes-${process.pid}`;
    const client = await connectBus({ ...connection, clientId, protocolVersion: facts.connection.mqtt });
    const known = await lookAtNodes(client, base, signal).finally(() => client.stop());
    return [...checks, ...judgeNodes(known)];
  } catch (error) {
    if (signal.aborted) throw error;
    const { message, hint = 'look at the log of the broker' } = failureOf(error);
    return [...checks, { area: 'nodes', name: 'nodes', status: 'fail', text: message, fix: hint }];
  }
}
