// Two clocks for each of the guest's processors, so that the kernel's governors have something to govern. What is written to
// port 0x80 goes nowhere: QEMU's processors have one speed.
DefinitionBlock ("", "SSDT", 2, "RFLXRC", "CPUFREQ", 1)
{
    External (\_SB.CPUS.C000, DeviceObj)
    External (\_SB.CPUS.C001, DeviceObj)
    External (\_SB.CPUS.C002, DeviceObj)
    External (\_SB.CPUS.C003, DeviceObj)

    Name (\PCTL, Package (2)
    {
        ResourceTemplate () { Register (SystemIO, 8, 0, 0x80) },
        ResourceTemplate () { Register (SystemIO, 8, 0, 0x80) }
    })
    // MHz, mW, two latencies in us, what is written, what is read.
    Name (\PSTA, Package (2)
    {
        Package (6) { 2000, 1000, 10, 10, 0, 0 },
        Package (6) { 1000, 500, 10, 10, 1, 1 }
    })

    Scope (\_SB.CPUS.C000)
    {
        Method (_PCT) { Return (\PCTL) }
        Method (_PSS) { Return (\PSTA) }
        Method (_PPC) { Return (0) }
    }
    Scope (\_SB.CPUS.C001)
    {
        Method (_PCT) { Return (\PCTL) }
        Method (_PSS) { Return (\PSTA) }
        Method (_PPC) { Return (0) }
    }
    Scope (\_SB.CPUS.C002)
    {
        Method (_PCT) { Return (\PCTL) }
        Method (_PSS) { Return (\PSTA) }
        Method (_PPC) { Return (0) }
    }
    Scope (\_SB.CPUS.C003)
    {
        Method (_PCT) { Return (\PCTL) }
        Method (_PSS) { Return (\PSTA) }
        Method (_PPC) { Return (0) }
    }
}
