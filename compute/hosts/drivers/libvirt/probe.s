# The probe guest: real mode -> long mode with paging -> a loop; leaves its proof at 0x500. `probe.py` carries it assembled:
#   as -o p.o probe.s && ld -Ttext 0x7c00 --oformat binary -o p.bin p.o
# Public memory below 0x7c00 only; no BIOS call, no device.
        .code16
        .globl _start
_start: cli
        xorw %ax, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movw $0x7c00, %sp
        cld
        movl $0x1000, %edi              # page tables: 0x1000 -> 0x2000 -> 0x3000, one identity page of 2 MiB
        movl %edi, %cr3
        xorl %eax, %eax
        movl $0xc00, %ecx
        rep stosl
        movw $0x2003, 0x1000
        movw $0x3003, 0x2000
        movw $0x0083, 0x3000
        movl $0x20, %eax                # PAE
        movl %eax, %cr4
        movl $0xc0000080, %ecx          # EFER.LME
        rdmsr
        orl $0x100, %eax
        wrmsr
        lgdt gdtr
        movl %cr0, %eax
        orl $0x80000001, %eax           # PG, PE
        movl %eax, %cr0
        ljmp $8, $long
        .code64
long:   movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movl $20000000, %ecx
        xorl %ebx, %ebx
again:  addl %ecx, %ebx
        decl %ecx
        jnz again
        movl %ebx, 0x504
        movl $0x6d61696e, 0x500         # "mains": the loop is over
stop:   hlt
        jmp stop
        .balign 8
gdt:    .quad 0
        .quad 0x00af9a000000ffff
        .quad 0x00cf92000000ffff
gdtr:   .word 23
        .long gdt
        .org 510
        .word 0xaa55
