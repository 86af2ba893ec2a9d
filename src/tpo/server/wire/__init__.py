"""What is sent over the wire: requests and answers as data, checked and put together without any I/O."""
