/**
 * NestJS's TCP microservice. A request or response of its own protocol is the length of a JSON message, `#`, and the message.
 * The file is JavaScript, because its packages may be missing when the project is compiled. The decorators are called by hand,
 * because this project's TypeScript does not enable legacy decorators.
 */
import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, Transport } from '@nestjs/microservices';

const { values } = parseArgs({
  options: {
    mode: { type: 'string' },
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
  },
});
if (values.mode !== 'echo' && values.mode !== 'lines')
  throw new TypeError(`Cannot start: there is no mode "${values.mode}" here`);

class Echo {
  echo(data) {
    return data;
  }
}
Controller()(Echo);
MessagePattern('echo')(Echo.prototype, 'echo', Object.getOwnPropertyDescriptor(Echo.prototype, 'echo'));

class App {}
Module({ controllers: [Echo] })(App);

const app = await NestFactory.createMicroservice(App, {
  transport: Transport.TCP,
  options: { host: values.host, port: Number(values.port) },
  logger: ['error'],
});
await app.listen();
const server = app.unwrap();
// The other servers set this option, too; Nest has no setting for it.
server.on('connection', (socket) => socket.setNoDelay());
const { address, port } = server.address();
console.log(`listening on ${address}:${port}`);
