/**
 * Frees the memory of bytes that nobody will look at again, where all of it is theirs. V8 counts what a socket has read and
 * goes through its whole heap every 32 MiB to find what of that is free; for a large blob this takes longer than all the rest.
 */
export function freeBytes({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}
