import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';

/** How a test's IP camera behaves. */
export interface RtspCameraOptions {
  readonly folder: string;
  /** Width x height of its picture. */
  readonly size: string;
  readonly encoder: 'libx264' | 'libx265';
  readonly user: string;
  readonly password: string;
  readonly port?: number;
  /** A JPEG that it shows, and reads again for every frame, so that a test can put another one there; absent: drawn. */
  readonly picture?: string;
}

/** An IP camera of a test: ffmpeg draws and encodes, a small RTSP server (RFC 2326, over TCP) sends it to who logs in. */
export interface RtspCamera {
  readonly port: number;
  /** Requests that carried the right password, and that did not. */
  readonly counts: { admitted: number; refused: number };
  stop(): Promise<void>;
}

/** Starts it on a free port of this machine. */
export async function startRtspCamera(options: RtspCameraOptions): Promise<RtspCamera> {
  const udp = createSocket('udp4');
  udp.bind(0, '127.0.0.1');
  await once(udp, 'listening');
  const sdpFile = join(options.folder, `camera-${udp.address().port}.sdp`);
  const encoder = encode(options, udp.address().port, sdpFile);
  const watchers = new Set<Socket>();
  udp.on('message', (packet) => {
    // RTCP of the encoder shares the port; RTP only is sent on.
    if (packet[1]! >= 200 && packet[1]! <= 204) return;
    const head = Buffer.from([0x24, 0, packet.byteLength >> 8, packet.byteLength & 255]);
    for (const socket of watchers) socket.write(Buffer.concat([head, packet]));
  });
  await once(udp, 'message');
  const sdp = (await readFile(sdpFile, 'utf8')).replace(/^SDP:\r?\n/, '').replace(/^m=video \d+/m, 'm=video 0');
  const counts = { admitted: 0, refused: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      watchers.delete(socket);
    });
    let waiting = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      waiting += text;
      for (let end = waiting.indexOf('\r\n\r\n'); end >= 0; end = waiting.indexOf('\r\n\r\n')) {
        // RTCP of the player comes between requests.
        answer(waiting.slice(0, end).replace(/^[\s\S]*?(?=(OPTIONS|DESCRIBE|SETUP|PLAY|GET_PARAMETER|TEARDOWN) )/, ''));
        waiting = waiting.slice(end + 4);
      }
    });
    function answer(request: string): void {
      const [method, uri] = request.split(' ') as [string, string];
      const cseq = `CSeq: ${/^CSeq: (\d+)/im.exec(request)?.[1]}`;
      const [status, headers, body] = answerTo(method, uri, request);
      const length = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
      socket.write(`${[`RTSP/1.0 ${status}`, cseq, ...headers, ...length].join('\r\n')}\r\n\r\n${body}`);
      if (method === 'PLAY' && status === '200 OK') watchers.add(socket);
    }
  });
  function answerTo(method: string, uri: string, request: string): [string, string[], string] {
    if (method === 'OPTIONS') return ['200 OK', ['Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN'], ''];
    if (!isAdmitted(request, method, options)) {
      counts.refused++;
      return ['401 Unauthorized', ['WWW-Authenticate: Digest realm="camera", nonce="0123456789abcdef"'], ''];
    }
    counts.admitted++;
    if (method === 'DESCRIBE') return ['200 OK', ['Content-Type: application/sdp', `Content-Base: ${uri}/`], sdp];
    if (method === 'SETUP') return ['200 OK', ['Transport: RTP/AVP/TCP;unicast;interleaved=0-1', 'Session: 1'], ''];
    return ['200 OK', ['Session: 1'], ''];
  }
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    counts,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      encoder.kill('SIGKILL');
      await once(encoder, 'close');
      udp.close();
    },
  };
}

function encode({ size, encoder, picture }: RtspCameraOptions, port: number, sdpFile: string): ChildProcess {
  const drawn = ['-re', '-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=10`];
  const source = picture === undefined ? drawn : ['-re', '-loop', '1', '-framerate', '10', '-i', picture, '-s', size];
  const quick = ['-c:v', encoder, '-preset', 'ultrafast', '-tune', 'zerolatency', '-g', '5', '-pix_fmt', 'yuv420p'];
  const sent = ['-f', 'rtp', '-sdp_file', sdpFile, `rtp://127.0.0.1:${port}?rtcpport=${port}&pkt_size=1200`];
  return spawn('ffmpeg', ['-nostdin', '-loglevel', 'error', ...source, ...quick, '-flags', '+global_header', ...sent], {
    stdio: 'ignore',
  });
}

function isAdmitted(request: string, method: string, { user, password }: RtspCameraOptions): boolean {
  const { uri, response } = Object.fromEntries(
    [...request.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]),
  ) as Record<string, string>;
  const md5 = (text: string) => createHash('md5').update(text).digest('hex');
  const wanted = md5(`${md5(`${user}:camera:${password}`)}:0123456789abcdef:${md5(`${method}:${uri}`)}`);
  return response === wanted;
}
