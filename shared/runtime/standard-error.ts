import { fstatSync } from 'node:fs';
import { counted } from '../counted.ts';
import { writeAllSync } from './whole-file.ts';

/**
 * Standard error, where nothing that happens to it ends the program: a log in a file on a full disk leaves lines out and
 * says how many once there is room, one whose reader has gone is written to nobody.
 */
export function standardError(): { write(text: string): unknown } {
  if (!isFile(process.stderr.fd)) {
    if (!process.stderr.listeners('error').includes(ignore)) process.stderr.on('error', ignore);
    return process.stderr;
  }
  // Node's own stream for a file writes nothing more after its first fault.
  return patientWriter(process.stderr.fd);
}

const ignore = (): void => {};

/** Writes to a file by its descriptor; what cannot be written is counted and told in its place. Never throws. */
export function patientWriter(fd: number): { write(text: string): void } {
  let leftOut = 0;
  return {
    write(text) {
      try {
        if (leftOut > 0)
          writeAllSync(fd, `(${counted(leftOut, 'line')} of the log left out: the log could not be written)\n`);
        leftOut = 0;
        writeAllSync(fd, text);
      } catch {
        leftOut++;
      }
    },
  };
}

function isFile(fd: number): boolean {
  try {
    return fstatSync(fd).isFile();
  } catch {
    return false;
  }
}
