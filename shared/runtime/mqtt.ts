import { TesseraError } from '../errors.ts';
import type { Bus } from '../ports.ts';
import { hideUserInfo } from '../redact.ts';
import type { BrokerConnection, Deliver } from './broker-connection.ts';
import { brokerError, type ConnectionFault, isPermanent, isUserRefusal, isVersionRefusal } from './broker-failure.ts';
import { ReconnectingBus } from './bus.ts';
import type { BusOptions, StreamBusOptions } from './bus-options.ts';
import { clientOptions, type Dial, dialStream, dialUrl, openConnection } from './mqtt-connection.ts';

/** MQTT over TCP, TLS, WebSocket or any duplex stream, with connections that are opened again (bus.ts). */

/** Connects to a broker. Throws TesseraError TESSERA_BROKER with a hint where the first connection fails. */
export async function connectBus(options: BusOptions): Promise<Bus> {
  const url = parsedUrl(options.url);
  const user = options.user ?? (url.username === '' ? undefined : decodeURIComponent(url.username));
  const password = options.password ?? (url.password === '' ? undefined : decodeURIComponent(url.password));
  url.username = '';
  url.password = '';
  const { ca, cert, key, whereabouts, rejectUnauthorized = true } = options;
  const secure = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }), rejectUnauthorized };
  const where = url.href.replace(/\/$/, '');
  const dialNow = (): Dial => {
    const now = whereabouts?.next() ?? where;
    return dialUrl(now, now.startsWith('mqtts:') || now.startsWith('wss:') ? secure : {});
  };
  return startBus({ ...options, user, password }, where, dialNow);
}

/** Connects over streams that the caller opens, for tests and for clients in the same process as the broker. */
export function connectBusOver(options: StreamBusOptions): Promise<Bus> {
  return startBus(options, 'stream', () => dialStream(options.openStream));
}

function parsedUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && ['mqtt:', 'mqtts:', 'ws:', 'wss:'].includes(url.protocol) && url.hostname !== '') return url;
  throw new TesseraError('TESSERA_CONFIG', `broker address: ${hideUserInfo(text)} is not a broker URL`, {
    hint: 'write it as mqtt://HOST:PORT, or with mqtts://, ws:// or wss://',
  });
}

async function startBus(options: Omit<BusOptions, 'url'>, where: string, dialNow: () => Dial): Promise<Bus> {
  const { whereabouts } = options;
  const isFinal = (): boolean => whereabouts?.isFinal() ?? true;
  const asked = options.protocolVersion ?? 'auto';
  let version: 4 | 5 = asked === 'auto' ? 5 : asked;
  let ends = version === 5;
  const failed = (fault: ConnectionFault): TesseraError => {
    const error = brokerError(fault, whereabouts?.url ?? where);
    if (isUserRefusal(fault.code) && isFinal()) options.onRefused?.(error);
    return error;
  };
  const open = async (deliver: Deliver): Promise<BrokerConnection> => {
    const connection = await openOnce(dialNow(), deliver);
    whereabouts?.connected();
    return connection;
  };
  const openOnce = async (dial: Dial, deliver: Deliver): Promise<BrokerConnection> => {
    let first = await openConnection(dial, clientOptions(options, version, ends), deliver);
    // A connection that was lost by chance looks like a broker that closes on MQTT 5; falling back to 3.1.1 would give
    // up the persistent session.
    if ('fault' in first && first.fault.code === 'CLOSED' && asked === 'auto')
      first = await openConnection(dial, clientOptions(options, version, ends), deliver);
    if (!('fault' in first)) return first;
    const other = version === 5 ? 4 : 5;
    if (asked !== 'auto' || !(isVersionRefusal(first.fault.code) || first.fault.code === 'CLOSED')) {
      throw failed(first.fault);
    }
    const otherEnds = other === 5 || first.keptSec !== undefined;
    const second = await openConnection(dial, clientOptions(options, other, otherEnds), deliver);
    if ('fault' in second) throw failed(second.fault);
    version = other;
    ends = otherEnds;
    return second;
  };
  const bus = new ReconnectingBus(open, options.log, options.maximumPacketBytes, undefined, options.mayConnect);
  for (const { filter, qos, handler } of options.subscriptions ?? [])
    bus.subscribe(filter, qos, handler).catch((error) => options.log.error(String(error)));
  try {
    await bus.start();
  } catch (error) {
    const fault = error instanceof TesseraError ? (error.cause as ConnectionFault | undefined) : undefined;
    if (options.patient !== true || (isPermanent(fault?.code) && isFinal())) throw error;
    options.log.warn(`${(error as Error).message}; trying again until it answers`);
    bus.startLater();
  }
  return bus;
}
