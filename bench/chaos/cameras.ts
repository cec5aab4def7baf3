import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { compiledFile } from '../../shared/runtime/worker-entry.ts';
import { cameraPictures } from './camera-pictures.ts';
import type { CameraTask } from './camera-worker.ts';
import { PAHO_CAMERA } from './paho.ts';

/** Which client the cameras are. */
export type ClientKind = 'paho' | 'plain';

/** A camera in a process of its own. */
export interface Camera {
  /** Ends the sending; resolves when all frames are acknowledged. */
  stop(): Promise<void>;
  kill(): void;
}

/** Whether this Python has Eclipse Paho. */
export function hasPaho(python: string): boolean {
  try {
    execFileSync(python, ['-c', 'import paho.mqtt.client'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Starts a camera; `on` is called for each frame that it sent, and for each that was acknowledged. */
export async function startCamera(
  kind: ClientKind,
  python: string,
  task: CameraTask,
  on: (what: 'sent' | 'acknowledged', frame: string) => void,
): Promise<Camera> {
  const text = JSON.stringify(task);
  const stdio: ['pipe', 'pipe', 'inherit'] = ['pipe', 'pipe', 'inherit'];
  const child: ChildProcess =
    kind === 'paho'
      ? spawn(python, ['-c', PAHO_CAMERA, text], { stdio })
      : spawn(process.execPath, [compiledFile(import.meta.url, './camera-worker.ts'), text], { stdio });
  if (kind === 'paho') {
    const pictures = await cameraPictures(task.maxBytes);
    child.stdin!.write(`${JSON.stringify(pictures.map((bytes) => Buffer.from(bytes).toString('base64')))}\n`);
  }
  createInterface(child.stdout!).on('line', (line) => {
    const [what, frame] = line.split(' ');
    if ((what === 'sent' || what === 'acknowledged') && frame !== undefined) on(what, frame);
  });
  const gone = once(child, 'close');
  return {
    async stop() {
      child.stdin!.write('stop\n');
      await gone;
    },
    kill: () => void child.kill('SIGKILL'),
  };
}
