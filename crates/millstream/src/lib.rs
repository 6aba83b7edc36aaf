//! One binary and one pipeline file that collect, queue, process and deliver data.
