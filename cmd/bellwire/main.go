// Command bellwire runs a gateway and talks to one.
package main

func main() {}
