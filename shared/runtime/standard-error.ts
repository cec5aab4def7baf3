import { fstatSync } from 'node:fs';
import { counted } from '../counted.ts';
import { writeAllSync } from './whole-file.ts';

/**
 * Standard error that never ends the program: a log in a file on a full disk drops lines and later reports how many;
 * without a reader it drops all.
 */
export function standardError(): { write(text: string): unknown } {
  if (!isFile(process.stderr.fd)) {
    if (!process.stderr.listeners('error').includes(ignore)) process.stderr.on('error', ignore);
    return process.stderr;
  }
  // Node's own stream for a file stops after its first error.
  return patientWriter(process.stderr.fd);
}

const ignore = (): void => {};

/** Writes to a file descriptor; lines that cannot be written are counted and reported instead. Never throws. */
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
