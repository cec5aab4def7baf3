import type { Setting } from '../../shared/config/layers.ts';
import { failureOf } from '../../shared/errors.ts';
import { silentLog } from '../../shared/ports.ts';
import type { LoadedConfig } from '../../shared/runtime/config.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { stateDirectory } from '../../shared/runtime/state-directory.ts';
import { busOptions } from '../connect.ts';
import { isLoopback } from '../listen.ts';
import { judgeBroker } from './broker.ts';
import type { Check } from './check.ts';
import { judgeConfiguration } from './configuration.ts';
import { judgeFleet } from './fleet.ts';
import { lookAtBroker } from './look-at-broker.ts';
import { type ConfigurationLook, lookAtConfiguration } from './look-at-configuration.ts';
import { lookAtFleet } from './look-at-fleet.ts';
import { lookAtMachine } from './look-at-machine.ts';
import { lookAtPorts } from './look-at-ports.ts';
import { lookAtState } from './look-at-state.ts';
import { judgeMachine } from './machine.ts';
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
  const { config } = look;
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

async function examineDeployment({ config, origins }: ConfigurationLook, signal: AbortSignal): Promise<Check[]> {
  const { base_topic: base, maximum_packet_size: maximumPacketBytes } = config.mqtt;
  const configured = origins.get('mqtt.server') !== 'default';
  // Certificates that cannot be read were named among the files.
  const options = await busOptions(config, '', silentLog).catch(() => undefined);
  if (options === undefined) return [];
  const { clientId: _, maximumPacketBytes: __, ...connection } = options;
  const facts = await lookAtBroker({ connection, base, configured, maximumPacketBytes });
  const checks = judgeBroker(facts);
  if ('code' in facts.connection) return checks;
  try {
    const clientId = `tessera-doctor-fleet-${process.pid}`;
    const bus = await connectBus({ ...connection, clientId, protocolVersion: facts.connection.mqtt });
    const fleet = await lookAtFleet(bus, base, signal).finally(() => bus.stop());
    return [...checks, ...judgeFleet(fleet)];
  } catch (error) {
    if (signal.aborted) throw error;
    const { message, hint = 'look at the log of the broker' } = failureOf(error);
    return [...checks, { area: 'fleet', name: 'fleet', status: 'fail', text: message, mend: hint }];
  }
}
