import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ReportedError } from '../../broker/connections.ts';
import { DisconnectLog } from '../../broker/disconnect-log.ts';
import { LogThrottle } from '../../shared/log-throttle.ts';
import { type Log, silentLog } from '../../shared/ports.ts';

// Lost if these fail: an operator whose client is disconnected finds no log line that says what to change.

const lines: string[] = [];
const log: Log = {
  ...silentLog,
  warn: (text) => lines.push(`warn ${text}`),
  info: (text) => lines.push(`info ${text}`),
};
const client = { id: 'cam', conn: undefined as never };

function made(): DisconnectLog {
  const throttle = () => new LogThrottle(log, () => 0);
  const connections = { who: () => ({ client: 'cam', user: 'camera front', remote: '10.0.0.9' }) };
  return new DisconnectLog(connections, { strangers: throttle(), clients: throttle() }, log);
}

beforeEach(() => {
  lines.length = 0;
});
afterEach(() => vi.useRealTimers());

describe('the end of a connection', () => {
  it('is logged with a hint, once per client and cause', () => {
    const disconnects = made();
    for (let k = 0; k < 3; k++) disconnects.closed(client, new Error('client queue limit reached'), true);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^warn a connection was closed: .*CONNACK/);
  });

  it('is a warning also where its cause is unknown', () => {
    made().closed(client, new Error('something new'), true);
    expect(lines).toEqual(['warn a connection was closed: something new']);
  });

  it('is not logged where the network or the client ended it, or where the cause was logged before', () => {
    const disconnects = made();
    disconnects.closed(client, new Error('connection closed'), true);
    disconnects.closed(client, Object.assign(new Error('read'), { code: 'ECONNRESET' }), true);
    disconnects.closed(client, new ReportedError('no right to publish that topic'), true);
    expect(lines).toEqual([]);
  });
});

describe('a client that speaks MQTT 5', () => {
  it('is logged if it does not reconnect with 3.1.1 within five seconds', () => {
    vi.useFakeTimers();
    const disconnects = made();
    disconnects.refusedVersion('old', '10.0.0.9');
    disconnects.refusedVersion('new', '10.0.0.9');
    disconnects.cameBack('new', '10.0.0.9');
    vi.advanceTimersByTime(5000);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('3.1.1');
  });
});
