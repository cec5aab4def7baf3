import { type IClientOptions, MqttClient, connect as mqttConnect } from 'mqtt';
import { TesseraError } from '../errors.ts';
import { traceparentOf } from '../protocol/traceparent.ts';
import type { BrokerConnection, Deliver } from './broker-connection.ts';
import type { ConnectionFault } from './broker-failure.ts';
import type { BusOptions, StreamBusOptions } from './bus-options.ts';

/**
 * One MQTT connection; the mqtt package is imported here and nowhere else. It is used for single connections only: its
 * own reconnecting, queueing and resubscribing are off, because they have no jitter, queue without bound, and resend a
 * message that the broker answers by closing the connection.
 */

/** Opens a client of the mqtt package. */
export type Dial = (options: IClientOptions) => MqttClient;

/** Opens clients over TCP, TLS or WebSocket. */
export function dialUrl(url: string, tls: IClientOptions): Dial {
  return (options) => {
    const client = mqttConnect(url, { ...options, ...tls });
    const socket = client.stream as { setNoDelay?: (on: boolean) => void };
    // Without it each QoS 1 round trip takes 44 ms (Nagle against delayed acknowledgements); ws does it by itself.
    socket.setNoDelay?.(true);
    return client;
  };
}

/** Opens clients over streams that the caller opens. */
export function dialStream(openStream: StreamBusOptions['openStream']): Dial {
  return (options) => new MqttClient(openStream as unknown as () => MqttClient['stream'], options);
}

/** The options of a client; `ends`: the broker's persistent session expires. */
export function clientOptions(options: Omit<BusOptions, 'url'>, version: 4 | 5, ends: boolean): IClientOptions {
  const { user, password, will, sessionSec } = options;
  const keepsSession = ends && sessionSec !== undefined;
  return {
    clientId: options.clientId,
    ...(user !== undefined && { username: user }),
    ...(password !== undefined && { password }),
    ...(will && { will: { ...will, payload: Buffer.from(will.payload) } }),
    protocolVersion: version,
    keepalive: options.keepaliveSec ?? 10,
    connectTimeout: options.connectTimeoutMs ?? 10_000,
    clean: !keepsSession,
    ...(keepsSession && version === 5 && { properties: { sessionExpiryInterval: sessionSec } }),
    queueQoSZero: false,
    reconnectPeriod: 0,
    resubscribe: false,
    // Its own log costs time for every packet, also where nobody reads it.
    log: () => {},
  };
}

/** Why a connection failed. */
export interface NoConnection {
  readonly fault: ConnectionFault;
  /** Expiry of a session as announced by the broker in its refusal, seconds. */
  readonly keptSec?: number | undefined;
}

/** Opens one connection; a `fault` where it failed. */
export function openConnection(
  dial: Dial,
  options: IClientOptions,
  deliver: Deliver,
): Promise<BrokerConnection | NoConnection> {
  return new Promise((resolve) => {
    let client: MqttClient;
    try {
      client = dial(options);
    } catch (error) {
      // An unusable certificate is found before a client exists.
      const { message, code } = error as NodeJS.ErrnoException;
      return resolve({ fault: { message, code: code ?? 'CLOSED' } });
    }
    keepWhileHeard(client);
    let fault: ConnectionFault | undefined;
    let keptSec: number | undefined;
    client.on('packetreceive', (packet) => {
      if (packet.cmd === 'connack') keptSec = packet.properties?.sessionExpiryInterval;
    });
    client.on('error', (error: Error & { code?: string | number }) => {
      const code = error.code ?? (/connack timeout/.test(error.message) ? 'TIMEOUT' : undefined);
      fault ??= { message: error.message, code };
    });
    client.on('disconnect', ({ reasonCode }) => {
      fault ??= { message: `the broker closed it with reason ${reasonCode}`, code: reasonCode };
    });
    let taken: Promise<unknown> | undefined;
    /** Filters by the subscription identifiers of MQTT 5 (section 3.8.2.1.2), which begin at 1. */
    const filters: string[] = [''];
    client.on('message', (topic, payload, { retain, dup, properties }) => {
      const ids = [properties?.subscriptionIdentifier ?? []].flat();
      // A persistent session delivers before the filters are subscribed again; then messages are matched by topic.
      const named = ids.map((id) => filters[id]).filter((filter) => filter !== undefined);
      const traceparent = traceparentOf(properties?.userProperties?.traceparent);
      taken = deliver(
        {
          topic,
          payload,
          retained: retain,
          ...(dup && { redelivered: true }),
          ...(traceparent !== undefined && { traceparent }),
        },
        named.length === 0 ? undefined : named,
      );
    });
    // Called right after `message`; with an error the client skips the acknowledgement and continues.
    client.handleMessage = ({ qos, messageId }, done) => {
      const later = taken;
      taken = undefined;
      if (later === undefined) return done();
      done(new Error('not taken yet'));
      if (qos === 1) later.then(() => acknowledge(client, messageId!)).catch(() => {});
    };
    client.once('connect', () =>
      resolve(connectionOf(client, filters, () => fault?.message ?? 'closed by the broker')),
    );
    client.once('close', () => {
      client.end(true);
      resolve({ fault: fault ?? { message: 'closed before it was accepted', code: 'CLOSED' }, keptSec });
    });
  });
}

/**
 * On a slow link the answer to a ping waits behind megabytes of data, which the mqtt package takes for silence. A
 * broker from which anything arrives is alive; it is still pinged, since it must also hear from this client.
 */
function keepWhileHeard(client: MqttClient): void {
  const giveUp = client.onKeepaliveTimeout.bind(client);
  let packets = 0;
  let before = 0;
  client.on('packetreceive', () => {
    packets++;
  });
  client.onKeepaliveTimeout = () => {
    const { bytesRead = 0 } = client.stream as { bytesRead?: number };
    const heard = bytesRead + packets;
    if (heard === before) return giveUp();
    before = heard;
    client.sendPing();
    client.reschedulePing(true);
  };
}

/** Acknowledges a QoS 1 message later; the mqtt package has no public method for that. */
function acknowledge(client: MqttClient, messageId: number): void {
  if (!client.connected || client.disconnecting) return;
  // biome-ignore lint/complexity/useLiteralKeys: it is private.
  client['_sendPacket']({ cmd: 'puback', messageId, reasonCode: 0 });
}

function connectionOf(client: MqttClient, filters: string[], reason: () => string): BrokerConnection {
  type Outcome = 'sent' | 'lost';
  /** Settles pending exchanges when the connection is lost first. */
  const open = new Set<(outcome: Outcome) => void>();
  let gone = false;
  let draining: Promise<Outcome> | undefined;
  const lost = new Promise<string>((resolve) => {
    client.once('close', () => {
      gone = true;
      for (const end of open) end('lost');
      open.clear();
      resolve(reason());
    });
  });
  /** Runs one exchange; errors that are no answer of the broker are followed by a close, which settles it. */
  const exchange = (what: string, start: (done: (error?: unknown) => void) => void): Promise<Outcome> => {
    if (gone || client.disconnecting) return Promise.resolve('lost');
    return new Promise((resolve, reject) => {
      open.add(resolve);
      start((error) => {
        const refused = isRefusal(error);
        if (!refused && error !== undefined && error !== null) return;
        open.delete(resolve);
        if (refused) reject(refusal(what, error));
        else resolve('sent');
      });
    });
  };
  /** One wait for the socket to drain, however many messages wait for it. */
  const drained = (): Promise<Outcome> => {
    draining ??= new Promise((resolve) => {
      open.add(resolve);
      client.stream.once('drain', () => {
        open.delete(resolve);
        draining = undefined;
        resolve('sent');
      });
    });
    return draining;
  };
  const identifier = (filter: string) => {
    const { protocolVersion } = client.options;
    if (protocolVersion !== 5 || client.serverProperties?.subscriptionIdentifiersAvailable === false) return {};
    if (!filters.includes(filter)) filters.push(filter);
    return { properties: { subscriptionIdentifier: filters.indexOf(filter) } };
  };
  return {
    lost,
    get backlogBytes() {
      return client.stream.writableLength;
    },
    get maximumPacketBytes() {
      return client.serverProperties?.maximumPacketSize;
    },
    async publish(topic, payload, qos, retain, traceparent) {
      const body = typeof payload === 'string' ? payload : asBuffer(payload);
      if (qos === 1) {
        const hasProperties = traceparent !== undefined && client.options.protocolVersion === 5;
        const properties = hasProperties ? { properties: { userProperties: { traceparent } } } : {};
        return exchange(topic, (done) => {
          client.publish(topic, body, { qos, retain, ...properties }, (error) => done(error));
        });
      }
      if (gone || client.disconnecting) return 'lost';
      // Without a callback: with one the client would add a `drain` listener for each message.
      client.publish(topic, body, { qos, retain });
      return client.stream.writableNeedDrain ? drained() : 'sent';
    },
    subscribe: (filter, qos) =>
      exchange(filter, (done) =>
        client.subscribe(filter, { qos, ...identifier(filter) }, (error, _subscriptions, suback) => {
          const code = suback?.granted.map(Number).find((granted) => granted >= 128);
          done(code === undefined ? error : { code, message: 'it is not granted' });
        }),
      ),
    unsubscribe: (filter) => exchange(filter, (done) => client.unsubscribe(filter, (error) => done(error))),
    end: (timeoutMs) =>
      new Promise((resolve) => {
        if (gone) return resolve();
        const timer = setTimeout(() => client.stream.destroy(), timeoutMs);
        void lost.then(() => {
          clearTimeout(timer);
          resolve();
        });
        client.end();
      }),
  };
}

const asBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const isRefusal = (error: unknown): error is { code: number; message: string } =>
  typeof error === 'object' && error !== null && typeof (error as { code?: unknown }).code === 'number';

const refusal = (what: string, error: { code: number; message: string }) =>
  new TesseraError('TESSERA_BROKER', `the broker refuses ${what}: ${error.message}`, {
    hint: 'the user of this connection has no right to that topic',
    cause: error,
  });
