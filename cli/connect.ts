import { randomBytes } from 'node:crypto';
import type { ListenTls } from '../broker/listen.ts';
import type { Config } from '../shared/config/schema.ts';
import { TesseraError } from '../shared/errors.ts';
import type { Bus, Log } from '../shared/ports.ts';
import type { BusOptions } from '../shared/runtime/bus-options.ts';
import { readText } from '../shared/runtime/file.ts';

/**
 * The connection that a configuration describes, certificates read from their files; `clientId` must be unique at the
 * broker.
 */
export async function busOptions(config: Config, clientId: string, log: Log): Promise<BusOptions> {
  const { mqtt } = config;
  const [ca, cert, key] = await Promise.all([
    pem('mqtt.ca', mqtt.ca),
    pem('mqtt.cert', mqtt.cert),
    pem('mqtt.key', mqtt.key),
  ]);
  return {
    url: mqtt.server,
    user: mqtt.user,
    password: mqtt.password,
    ca,
    cert,
    key,
    rejectUnauthorized: mqtt.reject_unauthorized,
    maximumPacketBytes: mqtt.maximum_packet_size,
    clientId,
    log,
  };
}

/** Connects a short-lived command. Throws TesseraError TESSERA_BROKER. */
export async function connectCommand(config: Config, name: string, log: Log): Promise<Bus> {
  const { connectBus } = await import('../shared/runtime/mqtt.ts');
  return connectBus(
    await busOptions(config, `${config.mqtt.base_topic}-${name}-${randomBytes(4).toString('hex')}`, log),
  );
}

const MQTT_PORTS: Readonly<Record<string, number>> = { 'mqtt:': 1883, 'mqtts:': 8883, 'ws:': 80, 'wss:': 443 };

/** The port of a broker's URL. */
export function portOf({ port, protocol }: URL): number {
  return port === '' ? MQTT_PORTS[protocol]! : Number(port);
}

/** The log of a process, to standard error. */
export async function openLog(config: Config, name: string): Promise<Log> {
  const { createLog } = await import('../shared/runtime/log.ts');
  return createLog({ ...config.log, name });
}

/** The certificates of the built-in broker, read from their files; undefined without. Throws TESSERA_CONFIG. */
export async function brokerTls({ broker }: Config): Promise<ListenTls | undefined> {
  const [cert, key, ca] = await Promise.all([
    pem('broker.cert', broker.cert),
    pem('broker.key', broker.key),
    pem('broker.ca', broker.ca),
  ]);
  if (cert !== undefined && key !== undefined) return { cert, key, ca };
  if (cert === undefined && key === undefined && ca === undefined) return undefined;
  const missing = cert === undefined ? 'broker.cert' : 'broker.key';
  throw new TesseraError('TESSERA_CONFIG', `${missing} is missing: TLS needs a certificate and its key`, {
    hint: 'name both, or none of broker.cert, broker.key and broker.ca',
  });
}

/** The text of a PEM file that a key of the configuration names. Throws TESSERA_CONFIG. */
export async function pem(key: string, file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return await readText(file);
  } catch (error) {
    throw new TesseraError('TESSERA_CONFIG', `${key} names ${file}, which cannot be read`, {
      hint: (error as Error).message,
      cause: error,
    });
  }
}
