"""Receives the messages of sd_notify(3), as systemd does: prints each as a line of JSON. receiver.py SOCKET"""
import json
import socket
import sys

receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
print(json.dumps("bound"), flush=True)
while True:
    # The descriptor that comes with BARRIER=1 is not taken, and so closed. That ends the wait of the sender.
    print(json.dumps(receiver.recv(4096).decode()), flush=True)
