#!/usr/bin/env python3
"""Opens a port with its own kernel buffers, and starts a server that inherits it, as systemd does for a socket unit.

    python3 demos/deploy/open.py 127.0.0.1 7000 node --import tsx demos/deploy/server.ts
"""
import os
import socket
import sys

host, port, *command = sys.argv[1:]
opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
# Before listen: they decide which window a client is offered. The accepted sockets inherit all three.
opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 131072)
opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
opened.bind((host, int(port)))
opened.listen(4096)

os.dup2(opened.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="main")
os.execvp(command[0], command)
