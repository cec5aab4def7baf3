import { SteadyCamera } from '../testbed/steady-camera.ts';
import { cameraPictures } from './camera-pictures.ts';

/**
 * A camera as another program might implement it, in a process of its own: frames with their own ids at a steady rate,
 * QoS 1, each sent again until it is acknowledged. Prints `sent FRAME` and `acknowledged FRAME`; a line on standard
 * input ends the sending, and the process ends when all frames are acknowledged.
 */
export interface CameraTask {
  readonly port: number;
  readonly camera: string;
  readonly everyMs: number;
  /** The largest picture, bytes. */
  readonly maxBytes: number;
}

const { port, camera, everyMs, maxBytes } = JSON.parse(process.argv[2]!) as CameraTask;
const pictures = await cameraPictures(maxBytes);
const client = new SteadyCamera(port, `tessera/input/${camera}`, (frame) => console.log(`acknowledged ${frame}`));
let count = 0;
const film = setInterval(() => {
  const frame = `${camera}-${count}`;
  const picture = pictures[count++ % pictures.length]!;
  console.log(`sent ${frame}`);
  client.send(frame, picture, `tessera/input/${camera}/${frame}`);
}, everyMs);
await new Promise((resolve) => process.stdin.once('data', resolve));
clearInterval(film);
await client.settled();
client.end();
process.stdin.destroy();
