"""What outlasts a request: files on disk, done one after the other by a process of their own."""
